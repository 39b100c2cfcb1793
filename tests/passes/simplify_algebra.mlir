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

// A matrix times a vector: a sum along the rows, where another order of summation is allowed.
// CHECK-LABEL: func.func @matrix_vector
func.func @matrix_vector(%a: tensor<50x64xf32>, %x: tensor<64x1xf32>) -> tensor<50x1xf32> {
  // STRICT: kiln.contract %arg0, %arg1 {equation = "mk,kn->mn"
  // STANDARD: kiln.reshape %arg1 : (tensor<64x1xf32>) -> tensor<64xf32>
  // STANDARD: kiln.broadcast {{.*}} {dims = array<i64: 1>} : (tensor<64xf32>) -> tensor<50x64xf32>
  // STANDARD: kiln.reduce {{.*}} {axes = array<i64: 1>, kind = "add"}
  // STANDARD-NOT: kiln.contract
  // STANDARD: kiln.return {{.*}} : tensor<50x1xf32>
  %0 = kiln.contract %a, %x {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<50x64xf32>, tensor<64x1xf32>) -> tensor<50x1xf32>
  kiln.return %0 : tensor<50x1xf32>
}

// The matrix goes to the right, where its rows are read as they lie.
// CHECK-LABEL: func.func @transposed_matrix_vector
func.func @transposed_matrix_vector(%a: tensor<64x50xf32>, %x: tensor<64xf32>) -> tensor<50xf32> {
  // CHECK: kiln.contract %arg1, %arg0 {equation = "k,km->m"
  %0 = kiln.contract %a, %x {equation = "km,k->m", order = "k", window = ""} : (tensor<64x50xf32>, tensor<64xf32>) -> tensor<50xf32>
  kiln.return %0 : tensor<50xf32>
}

// Short rows stay.
// CHECK-LABEL: func.func @short_rows
func.func @short_rows(%a: tensor<50x8xf32>, %x: tensor<8xf32>) -> tensor<50xf32> {
  // CHECK-NEXT: kiln.contract %arg0, %arg1
  %0 = kiln.contract %a, %x {equation = "mk,k->m", order = "k", window = ""} : (tensor<50x8xf32>, tensor<8xf32>) -> tensor<50xf32>
  kiln.return %0 : tensor<50xf32>
}
