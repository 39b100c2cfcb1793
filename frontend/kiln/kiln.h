// Everything but layers, optimizers and losses (kiln/nn.h) and datasets (kiln/data.h).
#pragma once
#include <kiln/function.h>
#include <kiln/math.h>
#include <kiln/mode.h>
#include <kiln/ops.h>
#include <kiln/tape.h>
#include <kiln/tensor.h>
#include <kiln/variable.h>
