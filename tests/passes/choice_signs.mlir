// RUN: kiln-opt %s --kiln-canonicalize --kiln-move-broadcasts --kiln-fold --kiln-prune | FileCheck %s
// The sign of a choice moves into its constants, and meets another sign there.
// CHECK-LABEL: func.func @choices
func.func @choices(%p: tensor<4xi1>, %x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK-DAG: %[[HALF:.*]] = kiln.constant {value = dense<-5.000000e-01> : tensor<f32>}
  // CHECK-DAG: %[[ZERO:.*]] = kiln.constant {value = dense<-0.000000e+00> : tensor<f32>}
  // CHECK-NOT: "neg"
  %0 = kiln.constant {value = dense<0.5> : tensor<f32>} : () -> tensor<f32>
  %1 = kiln.broadcast %0 {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  %2 = kiln.constant {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %3 = kiln.broadcast %2 {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  %4 = kiln.map "where" %p, %1, %3 : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %5 = kiln.map "neg" %4 : (tensor<4xf32>) -> tensor<4xf32>
  // CHECK: kiln.map "where" %arg0, %arg1,
  %6 = kiln.map "neg" %x : (tensor<4xf32>) -> tensor<4xf32>
  %7 = kiln.map "where" %p, %6, %3 : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %8 = kiln.map "neg" %7 : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %5, %8 : tensor<4xf32>, tensor<4xf32>
}
