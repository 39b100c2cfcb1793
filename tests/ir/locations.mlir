// The user's lines survive parsing, passes, and the way to the graph and back.
// RUN: kiln-opt %s --kiln-round-trip --kiln-cse --mlir-print-debuginfo --mlir-print-local-scope | FileCheck %s

func.func @lines(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK: kiln.map "exp" %{{.*}} loc("mnist.cpp":12:0)
  // CHECK-NOT: loc("mnist.cpp":13:0)
  %0 = kiln.map "exp" %x : (tensor<4xf32>) -> tensor<4xf32> loc("mnist.cpp":12:0)
  %1 = kiln.map "exp" %x : (tensor<4xf32>) -> tensor<4xf32> loc("mnist.cpp":13:0)
  kiln.return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
