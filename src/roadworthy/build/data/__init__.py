"""Data sets of every form to one sample set, with splits for calibration and evaluation."""
