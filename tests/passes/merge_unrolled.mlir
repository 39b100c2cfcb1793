// RUN: kiln-opt %s --kiln-merge-unrolled --kiln-cse --kiln-canonicalize --kiln-prune --split-input-file | FileCheck %s

// The steps of one tensor times one matrix: one product, whose rows are the steps' results.
// CHECK-LABEL: func.func @steps
func.func @steps(%x: tensor<3x2x4xf32>, %w: tensor<4x5xf32>) -> (tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>) {
  // CHECK: %[[ALL:.*]] = kiln.contract %arg0, %arg1 {equation = "amk,kn->amn", order = "k", window = ""} : (tensor<3x2x4xf32>, tensor<4x5xf32>) -> tensor<3x2x5xf32>
  // CHECK: kiln.slice %[[ALL]] {limit = array<i64: 1, 2, 5>
  // CHECK: kiln.slice %[[ALL]] {limit = array<i64: 2, 2, 5>
  // CHECK: kiln.slice %[[ALL]] {limit = array<i64: 3, 2, 5>
  // CHECK-NOT: contract
  %0 = kiln.slice %x {start = array<i64: 0, 0, 0>, limit = array<i64: 1, 2, 4>, step = array<i64: 1, 1, 1>} : (tensor<3x2x4xf32>) -> tensor<1x2x4xf32>
  %1 = kiln.reshape %0 : (tensor<1x2x4xf32>) -> tensor<2x4xf32>
  %2 = kiln.contract %1, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %3 = kiln.slice %x {start = array<i64: 1, 0, 0>, limit = array<i64: 2, 2, 4>, step = array<i64: 1, 1, 1>} : (tensor<3x2x4xf32>) -> tensor<1x2x4xf32>
  %4 = kiln.reshape %3 : (tensor<1x2x4xf32>) -> tensor<2x4xf32>
  %5 = kiln.contract %4, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %6 = kiln.slice %x {start = array<i64: 2, 0, 0>, limit = array<i64: 3, 2, 4>, step = array<i64: 1, 1, 1>} : (tensor<3x2x4xf32>) -> tensor<1x2x4xf32>
  %7 = kiln.reshape %6 : (tensor<1x2x4xf32>) -> tensor<2x4xf32>
  %8 = kiln.contract %7, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  kiln.return %2, %5, %8 : tensor<2x5xf32>, tensor<2x5xf32>, tensor<2x5xf32>
}

// -----

// A sum of short products: one long one, and so the sums over what they share.
// CHECK-LABEL: func.func @gradient
func.func @gradient(%a: tensor<2x8xf32>, %b: tensor<2x8xf32>, %c: tensor<2x8xf32>, %p: tensor<2x9xf32>, %q: tensor<2x9xf32>, %r: tensor<2x9xf32>) -> (tensor<8x9xf32>, tensor<9xf32>) {
  // CHECK-DAG: %[[LEFT:.*]] = kiln.concat {{.*}} {axis = 0 : i64} : (tensor<1x2x8xf32>, tensor<1x2x8xf32>, tensor<1x2x8xf32>) -> tensor<3x2x8xf32>
  // CHECK-DAG: %[[RIGHT:.*]] = kiln.concat {{.*}} {axis = 0 : i64} : (tensor<1x2x9xf32>, tensor<1x2x9xf32>, tensor<1x2x9xf32>) -> tensor<3x2x9xf32>
  // CHECK-DAG: %[[PRODUCT:.*]] = kiln.contract %[[LEFT]], %[[RIGHT]] {equation = "abk,abn->kn", order = "ab", window = ""}
  // CHECK-DAG: %[[SUM:.*]] = kiln.reduce %[[RIGHT]] {axes = array<i64: 0, 1>, kind = "add"}
  // CHECK: kiln.return %[[PRODUCT]], %[[SUM]]
  %0 = kiln.contract %a, %p {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<2x8xf32>, tensor<2x9xf32>) -> tensor<8x9xf32>
  %1 = kiln.contract %b, %q {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<2x8xf32>, tensor<2x9xf32>) -> tensor<8x9xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<8x9xf32>, tensor<8x9xf32>) -> tensor<8x9xf32>
  %3 = kiln.contract %c, %r {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<2x8xf32>, tensor<2x9xf32>) -> tensor<8x9xf32>
  %4 = kiln.map "add" %2, %3 : (tensor<8x9xf32>, tensor<8x9xf32>) -> tensor<8x9xf32>
  %5 = kiln.reduce %p {axes = array<i64: 0>, kind = "add"} : (tensor<2x9xf32>) -> tensor<9xf32>
  %6 = kiln.reduce %q {axes = array<i64: 0>, kind = "add"} : (tensor<2x9xf32>) -> tensor<9xf32>
  %7 = kiln.map "add" %5, %6 : (tensor<9xf32>, tensor<9xf32>) -> tensor<9xf32>
  %8 = kiln.reduce %r {axes = array<i64: 0>, kind = "add"} : (tensor<2x9xf32>) -> tensor<9xf32>
  %9 = kiln.map "add" %7, %8 : (tensor<9xf32>, tensor<9xf32>) -> tensor<9xf32>
  kiln.return %4, %9 : tensor<8x9xf32>, tensor<9xf32>
}

// -----

// Long products are large enough: the sum of two of them is not worth a copy.
// CHECK-LABEL: func.func @long
func.func @long(%a: tensor<300x8xf32>, %b: tensor<300x8xf32>, %c: tensor<300x8xf32>, %p: tensor<300x9xf32>) -> tensor<8x9xf32> {
  // CHECK-NOT: concat
  %0 = kiln.contract %a, %p {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<300x8xf32>, tensor<300x9xf32>) -> tensor<8x9xf32>
  %1 = kiln.contract %b, %p {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<300x8xf32>, tensor<300x9xf32>) -> tensor<8x9xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<8x9xf32>, tensor<8x9xf32>) -> tensor<8x9xf32>
  %3 = kiln.contract %c, %p {equation = "bk,bn->kn", order = "b", window = ""} : (tensor<300x8xf32>, tensor<300x9xf32>) -> tensor<8x9xf32>
  %4 = kiln.map "add" %2, %3 : (tensor<8x9xf32>, tensor<8x9xf32>) -> tensor<8x9xf32>
  kiln.return %4 : tensor<8x9xf32>
}

// -----

// The gradients of slices, put side by side; what no slice reads is zero.
// CHECK-LABEL: func.func @pads
func.func @pads(%a: tensor<2x3xf32>, %b: tensor<2x4xf32>, %y: tensor<2x9xf32>) -> tensor<2x9xf32> {
  // CHECK: %[[ALL:.*]] = kiln.concat %arg0, {{.*}}, %arg1, {{.*}} {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x1xf32>, tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x9xf32>
  // CHECK: kiln.map "add" %arg2, %[[ALL]]
  %zero = kiln.constant {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
  %0 = kiln.pad %b, %zero {low = array<i64: 0, 4>, high = array<i64: 0, 1>, interior = array<i64: 0, 0>} : (tensor<2x4xf32>, tensor<f32>) -> tensor<2x9xf32>
  %1 = kiln.map "add" %0, %y : (tensor<2x9xf32>, tensor<2x9xf32>) -> tensor<2x9xf32>
  %2 = kiln.pad %a, %zero {low = array<i64: 0, 0>, high = array<i64: 0, 6>, interior = array<i64: 0, 0>} : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x9xf32>
  %3 = kiln.map "add" %1, %2 : (tensor<2x9xf32>, tensor<2x9xf32>) -> tensor<2x9xf32>
  kiln.return %3 : tensor<2x9xf32>
}

// -----

// Products put together twice: the second stack comes after the first product, which it holds.
// CHECK-LABEL: func.func @twice
func.func @twice(%a: tensor<2x4xf32>, %b: tensor<2x4xf32>, %c: tensor<2x4xf32>, %w: tensor<4x5xf32>, %p: tensor<3x2x5xf32>, %q: tensor<3x2x5xf32>, %v: tensor<5x6xf32>) -> tensor<3x3x2x6xf32> {
  // CHECK: %[[FIRST:.*]] = kiln.contract {{.*}}, %arg3 {equation = "amk,kn->amn", order = "k", window = ""}
  // CHECK: kiln.reshape %[[FIRST]]
  // CHECK: %[[STACK:.*]] = kiln.concat
  // CHECK: %[[SECOND:.*]] = kiln.contract %[[STACK]], %arg6 {equation = "abmk,kn->abmn", order = "k", window = ""}
  // CHECK: kiln.return %[[SECOND]]
  %0 = kiln.contract %a, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %1 = kiln.reshape %0 : (tensor<2x5xf32>) -> tensor<1x2x5xf32>
  %2 = kiln.contract %b, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %3 = kiln.reshape %2 : (tensor<2x5xf32>) -> tensor<1x2x5xf32>
  %4 = kiln.contract %c, %w {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %5 = kiln.reshape %4 : (tensor<2x5xf32>) -> tensor<1x2x5xf32>
  %6 = kiln.concat %1, %3, %5 {axis = 0 : i64} : (tensor<1x2x5xf32>, tensor<1x2x5xf32>, tensor<1x2x5xf32>) -> tensor<3x2x5xf32>
  %7 = kiln.contract %p, %v {equation = "bmk,kn->bmn", order = "k", window = ""} : (tensor<3x2x5xf32>, tensor<5x6xf32>) -> tensor<3x2x6xf32>
  %8 = kiln.reshape %7 : (tensor<3x2x6xf32>) -> tensor<1x3x2x6xf32>
  %9 = kiln.contract %6, %v {equation = "bmk,kn->bmn", order = "k", window = ""} : (tensor<3x2x5xf32>, tensor<5x6xf32>) -> tensor<3x2x6xf32>
  %10 = kiln.reshape %9 : (tensor<3x2x6xf32>) -> tensor<1x3x2x6xf32>
  %11 = kiln.contract %q, %v {equation = "bmk,kn->bmn", order = "k", window = ""} : (tensor<3x2x5xf32>, tensor<5x6xf32>) -> tensor<3x2x6xf32>
  %12 = kiln.reshape %11 : (tensor<3x2x6xf32>) -> tensor<1x3x2x6xf32>
  %13 = kiln.concat %8, %10, %12 {axis = 0 : i64} : (tensor<1x3x2x6xf32>, tensor<1x3x2x6xf32>, tensor<1x3x2x6xf32>) -> tensor<3x3x2x6xf32>
  kiln.return %13 : tensor<3x3x2x6xf32>
}
