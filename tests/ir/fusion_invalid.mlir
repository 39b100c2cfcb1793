// What the verifier rejects in a fusion.
// RUN: kiln-opt %s --split-input-file --verify-diagnostics

func.func @kind(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{unknown kind "magic"}}
  %r = kiln.fusion "magic" (%a) ({
  ^bb0(%x: tensor<4xf32>):
    kiln.yield %x : tensor<4xf32>
  }) : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %r : tensor<4xf32>
}

// -----

func.func @arguments(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{its block's arguments must have its operands' types}}
  %r = kiln.fusion "loop" (%a) ({
  ^bb0(%x: tensor<4xf64>):
    %y = kiln.cast %x : (tensor<4xf64>) -> tensor<4xf32>
    kiln.yield %y : tensor<4xf32>
  }) : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %r : tensor<4xf32>
}

// -----

func.func @results(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{must yield values of its results' types}}
  %r = kiln.fusion "loop" (%a) ({
  ^bb0(%x: tensor<4xf32>):
    kiln.yield
  }) : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %r : tensor<4xf32>
}

// -----

func.func @captures(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-note@+1 {{required by region isolation constraints}}
  %r = kiln.fusion "loop" () ({
    // expected-error@+1 {{using value defined outside the region}}
    %y = kiln.map "exp" %a : (tensor<4xf32>) -> tensor<4xf32>
    kiln.yield %y : tensor<4xf32>
  }) : () -> tensor<4xf32>
  kiln.return %r : tensor<4xf32>
}
