// RUN: kiln-opt %s --kiln-move-transposes --kiln-prune --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @operands
func.func @operands(%x: tensor<6x4xf32>, %y: tensor<5x6xf32>) -> tensor<4x5xf32> {
  // CHECK-NEXT: kiln.contract %arg0, %arg1 {equation = "km,nk->mn", order = "k", window = ""} : (tensor<6x4xf32>, tensor<5x6xf32>) -> tensor<4x5xf32>
  %0 = kiln.transpose %x {perm = array<i64: 1, 0>} : (tensor<6x4xf32>) -> tensor<4x6xf32>
  %1 = kiln.transpose %y {perm = array<i64: 1, 0>} : (tensor<5x6xf32>) -> tensor<6x5xf32>
  %2 = kiln.contract %0, %1 {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<4x6xf32>, tensor<6x5xf32>) -> tensor<4x5xf32>
  kiln.return %2 : tensor<4x5xf32>
}

// -----

// CHECK-LABEL: func.func @result
func.func @result(%x: tensor<2x3x4xf32>, %y: tensor<2x4x5xf32>) -> tensor<5x2x3xf32> {
  // CHECK-NEXT: kiln.contract %arg0, %arg1 {equation = "bmk,bkn->nbm", order = "k", window = ""} : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<5x2x3xf32>
  %0 = kiln.contract %x, %y {equation = "bmk,bkn->bmn", order = "k", window = ""} : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = kiln.transpose %0 {perm = array<i64: 2, 0, 1>} : (tensor<2x3x5xf32>) -> tensor<5x2x3xf32>
  kiln.return %1 : tensor<5x2x3xf32>
}

// -----

// CHECK-LABEL: func.func @through_maps
func.func @through_maps(%x: tensor<4x6xf32>, %y: tensor<4x6xf32>, %n: tensor<f32>) -> tensor<4x6xf32> {
  // CHECK-NEXT: %[[A:.*]] = kiln.map "add" %arg0, %arg1
  // CHECK-NEXT: %[[B:.*]] = kiln.broadcast %arg2 {dims = array<i64>} : (tensor<f32>) -> tensor<4x6xf32>
  // CHECK-NEXT: %[[M:.*]] = kiln.map "mul" %[[A]], %[[B]]
  // CHECK-NEXT: kiln.return %[[M]]
  %0 = kiln.transpose %x {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %1 = kiln.transpose %y {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x4xf32>
  %3 = kiln.broadcast %n {dims = array<i64>} : (tensor<f32>) -> tensor<6x4xf32>
  %4 = kiln.map "mul" %2, %3 : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x4xf32>
  %5 = kiln.transpose %4 {perm = array<i64: 1, 0>} : (tensor<6x4xf32>) -> tensor<4x6xf32>
  kiln.return %5 : tensor<4x6xf32>
}

// -----

// Where it would meet nothing, a transpose stays where it is.
// CHECK-LABEL: func.func @stays
func.func @stays(%x: tensor<4x6xf32>) -> tensor<6x4xf32> {
  // CHECK-NEXT: kiln.transpose
  // CHECK-NEXT: kiln.map "exp"
  %0 = kiln.transpose %x {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %1 = kiln.map "exp" %0 : (tensor<6x4xf32>) -> tensor<6x4xf32>
  kiln.return %1 : tensor<6x4xf32>
}
