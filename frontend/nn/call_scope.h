// Around the body of a layer's call. Internal to frontend/nn.
#pragma once
#include <kiln/layers.h>

#include "base/require.h"

namespace kiln::nn {

/// Ops and errors inside name the user's call of the layer, errors also the layer.
class CallScope {
 public:
  CallScope(const Layer& layer, Loc where) : line_(where), context_(layer.kind(), layer.path()) {}

 private:
  LocationScope line_;
  ErrorContext context_;
};

}  // namespace kiln::nn
