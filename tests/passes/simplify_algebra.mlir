// RUN: kiln-opt %s --kiln-simplify-algebra --kiln-fold --kiln-prune --numerics=strict | FileCheck %s --check-prefixes=CHECK,STRICT
// RUN: kiln-opt %s --kiln-simplify-algebra --kiln-fold --kiln-prune | FileCheck %s --check-prefixes=CHECK,STANDARD
// RUN: kiln-opt %s --kiln-simplify-algebra --kiln-fold --kiln-prune --numerics=fast | FileCheck %s --check-prefixes=CHECK,FAST

// CHECK-LABEL: func.func @powers
func.func @powers(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = kiln.constant {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %two = kiln.broadcast %c {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  // STRICT: kiln.map "pow"
  // STANDARD-NEXT: kiln.map "square" %arg0
  // FAST-NEXT: kiln.map "square" %arg0
  %0 = kiln.map "pow" %x, %two : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @division_by_power_of_two
func.func @division_by_power_of_two(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = kiln.constant {value = dense<8.0> : tensor<f32>} : () -> tensor<f32>
  %eight = kiln.broadcast %c {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  // CHECK: dense<1.250000e-01>
  // CHECK: kiln.map "mul"
  %0 = kiln.map "div" %x, %eight : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @division_by_three
func.func @division_by_three(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = kiln.constant {value = dense<3.0> : tensor<f32>} : () -> tensor<f32>
  %three = kiln.broadcast %c {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  // STRICT: kiln.map "div"
  // STANDARD: kiln.map "mul"
  // FAST: kiln.map "mul"
  %0 = kiln.map "div" %x, %three : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @finite_only
func.func @finite_only(%x: tensor<4xf32>) -> tensor<4xf32> {
  // STRICT: kiln.map "sub"
  // STANDARD: kiln.map "sub"
  // FAST-NOT: kiln.map "sub"
  // CHECK: kiln.return
  %0 = kiln.map "sub" %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}
