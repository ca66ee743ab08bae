// What one input or output of the model is, and memory for a number of samples of it.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

struct Tensor {
    std::string name;
    std::string dtype;           // the name that NumPy gives it
    std::string code;            // the same in the header of a .npy file
    size_t item;                 // bytes of one number
    std::vector<size_t> shape;   // of one sample

    size_t count() const {
        size_t numbers = 1;
        for (size_t size : shape) numbers *= size;
        return numbers;
    }
    size_t bytes() const { return count() * item; }
};

using Bytes = std::vector<unsigned char>;
using Samples = std::vector<Bytes>;  // one array for each input or output
