// RUN: kiln-opt %s --kiln-fold --kiln-prune --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @numbers
func.func @numbers() -> tensor<f32> {
  // CHECK-NEXT: %[[C:.*]] = kiln.constant {value = dense<9.500000e+00> : tensor<f32>}
  // CHECK-NEXT: kiln.return %[[C]]
  %0 = kiln.constant {value = dense<3.0> : tensor<f32>} : () -> tensor<f32>
  %1 = kiln.constant {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %2 = kiln.map "square" %0 : (tensor<f32>) -> tensor<f32>
  %3 = kiln.map "add" %2, %1 : (tensor<f32>, tensor<f32>) -> tensor<f32>
  kiln.return %3 : tensor<f32>
}

// -----

// A number stays one number, however large the tensor, and whatever its symbolic shape.
// CHECK-LABEL: func.func @splats
func.func @splats() -> (tensor<1024x1024xf32>, tensor<?xf32, "n">) {
  // CHECK-NEXT: %[[C:.*]] = kiln.constant {value = dense<4.000000e+00> : tensor<f32>}
  // CHECK-NEXT: %[[B:.*]] = kiln.broadcast %[[C]] {dims = array<i64>} : (tensor<f32>) -> tensor<1024x1024xf32>
  // CHECK-NEXT: %[[D:.*]] = kiln.constant {value = dense<4.000000e+00> : tensor<f32>}
  // CHECK-NEXT: %[[E:.*]] = kiln.broadcast %[[D]] {dims = array<i64>} : (tensor<f32>) -> tensor<?xf32, "n">
  // CHECK-NEXT: kiln.return %[[B]], %[[E]]
  %0 = kiln.constant {value = dense<2.0> : tensor<f32>} : () -> tensor<f32>
  %1 = kiln.broadcast %0 {dims = array<i64>} : (tensor<f32>) -> tensor<1024x1024xf32>
  %2 = kiln.map "square" %1 : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
  %3 = kiln.broadcast %0 {dims = array<i64>} : (tensor<f32>) -> tensor<?xf32, "n">
  %4 = kiln.map "square" %3 : (tensor<?xf32, "n">) -> tensor<?xf32, "n">
  kiln.return %2, %4 : tensor<1024x1024xf32>, tensor<?xf32, "n">
}

// -----

// CHECK-LABEL: func.func @tensors
func.func @tensors() -> (tensor<2xi32>, tensor<2x2xf32>) {
  // CHECK-DAG: %[[A:.*]] = kiln.constant {value = dense<[4, 6]> : tensor<2xi32>}
  // CHECK-DAG: %[[T:.*]] = kiln.constant {value = dense<{{\[}}[1.000000e+00, 3.000000e+00], [2.000000e+00, 4.000000e+00]]> : tensor<2x2xf32>}
  // CHECK: kiln.return %[[A]], %[[T]]
  %0 = kiln.constant {value = dense<[1, 2]> : tensor<2xi32>} : () -> tensor<2xi32>
  %1 = kiln.constant {value = dense<[3, 4]> : tensor<2xi32>} : () -> tensor<2xi32>
  %2 = kiln.map "add" %0, %1 : (tensor<2xi32>, tensor<2xi32>) -> tensor<2xi32>
  %3 = kiln.constant {value = dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>} : () -> tensor<2x2xf32>
  %4 = kiln.transpose %3 {perm = array<i64: 1, 0>} : (tensor<2x2xf32>) -> tensor<2x2xf32>
  kiln.return %2, %4 : tensor<2xi32>, tensor<2x2xf32>
}

// -----

// More than 64 KB of result stay an op, and so does an error: it belongs to the run.
// CHECK-LABEL: func.func @left_alone
func.func @left_alone(%k: tensor<2xi64>) -> (tensor<20000xf32>, tensor<i32>, tensor<4xf32>) {
  // CHECK: kiln.concat
  // CHECK: kiln.map "div"
  // CHECK: kiln.random
  %0 = kiln.constant {value = dense<1.0> : tensor<10000xf32>} : () -> tensor<10000xf32>
  %1 = kiln.constant {value = dense<2.0> : tensor<10000xf32>} : () -> tensor<10000xf32>
  %2 = kiln.concat %0, %1 {axis = 0 : i64} : (tensor<10000xf32>, tensor<10000xf32>) -> tensor<20000xf32>
  %3 = kiln.constant {value = dense<1> : tensor<i32>} : () -> tensor<i32>
  %4 = kiln.constant {value = dense<0> : tensor<i32>} : () -> tensor<i32>
  %5 = kiln.map "div" %3, %4 : (tensor<i32>, tensor<i32>) -> tensor<i32>
  %6 = kiln.constant {value = dense<[1, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %7 = kiln.random %6 {kind = "uniform", stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  kiln.return %2, %5, %7 : tensor<20000xf32>, tensor<i32>, tensor<4xf32>
}
