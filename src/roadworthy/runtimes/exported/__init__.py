"""What runs the files of a target other than a server: one file a target, namesakes of ``build/export/``."""
