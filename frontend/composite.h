// The composites of ops/, ready for graph::Value: their elementwise functions are found beside it. Internal to frontend/.
#pragma once
#include "graph/value_ops.h"
// clang-format off: the functions above must be declared before the templates are
#include "ops/composite.h"
// clang-format on
