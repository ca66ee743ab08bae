"""ncnn in a program: its static library, built once a machine, and a network of its files as the model of a program."""
