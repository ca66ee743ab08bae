// All kernels, for the network that is compiled with them.
#pragma once
#include "convolution.h"
#include "depthwise.h"
#include "integer_convolution.h"
#include "move.h"
#include "pointwise.h"
#include "pooling.h"
