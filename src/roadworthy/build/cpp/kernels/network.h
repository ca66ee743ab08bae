// All kernels, for the network that is compiled with them.
#pragma once
#include "convolution.h"
#include "depthwise.h"
#include "move.h"
#include "pointwise.h"
#include "pooling.h"
