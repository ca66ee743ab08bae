"""Files of the target ``libtorch``: the model of the program in C++, its CMake project, and how it is used."""
