"""Data in files: tables, manifests of files, arrays, texts and sounds."""
