// The whole pipeline, its dump, and "(unchanged)".
// RUN: rm -rf %t && kiln-opt %s --kiln-pipeline --kiln-dump=%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=CAPTURED < %t/000/01_captured.mlir
// RUN: FileCheck %s --check-prefix=UNCHANGED < %t/000/07_move-transposes.mlir
// RUN: kiln-opt %t/000/01_captured.mlir | FileCheck %s --check-prefix=CAPTURED

// CAPTURED: kiln.map "mul"
// UNCHANGED: // (unchanged)
// CHECK-LABEL: func.func @dense
func.func @dense(%x: tensor<32x8xf32>, %w: tensor<8x4xf32>, %b: tensor<4xf32>) -> tensor<32x4xf32> {
  // CHECK: kiln.fusion "contract"
  // CHECK: kiln.contract
  // CHECK-NOT: "mul"
  // CHECK: kiln.map "maximum"
  // CHECK-NOT: kiln.fusion
  %0 = kiln.contract %x, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<32x8xf32>, tensor<8x4xf32>) -> tensor<32x4xf32>
  %1 = kiln.broadcast %b {dims = array<i64: 1>} : (tensor<4xf32>) -> tensor<32x4xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<32x4xf32>, tensor<32x4xf32>) -> tensor<32x4xf32>
  %3 = kiln.constant {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %4 = kiln.broadcast %3 {dims = array<i64>} : (tensor<f32>) -> tensor<32x4xf32>
  %5 = kiln.map "mul" %2, %4 : (tensor<32x4xf32>, tensor<32x4xf32>) -> tensor<32x4xf32>
  %6 = kiln.constant {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %7 = kiln.broadcast %6 {dims = array<i64>} : (tensor<f32>) -> tensor<32x4xf32>
  %8 = kiln.map "maximum" %5, %7 : (tensor<32x4xf32>, tensor<32x4xf32>) -> tensor<32x4xf32>
  kiln.return %8 : tensor<32x4xf32>
}
