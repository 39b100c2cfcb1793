// A fusion parses and prints; on the way to the graph its body goes in line.
// RUN: kiln-opt %s | kiln-opt | FileCheck %s
// RUN: kiln-opt %s --kiln-round-trip | FileCheck %s --check-prefix=FLAT

// CHECK-LABEL: func.func @two_results
// FLAT-LABEL: func.func @two_results
func.func @two_results(%a: tensor<4xf32>, %b: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK: %[[R:.*]]:2 = kiln.fusion "loop" (%{{.*}}, %{{.*}}) ({
  // CHECK-NEXT: ^bb0(%[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>):
  // CHECK-NEXT: %[[S:.*]] = kiln.map "add" %[[X]], %[[Y]] : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK: kiln.yield %[[S]], %{{.*}} : tensor<4xf32>, tensor<4xf32>
  // CHECK-NEXT: }) : (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  // FLAT-NOT: kiln.fusion
  // FLAT: %[[S:.*]] = kiln.map "add" %arg0, %arg1
  // FLAT: %[[E:.*]] = kiln.map "exp" %[[S]]
  // FLAT: kiln.return %[[S]], %[[E]]
  %r:2 = kiln.fusion "loop" (%a, %b) ({
  ^bb0(%x: tensor<4xf32>, %y: tensor<4xf32>):
    %s = kiln.map "add" %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    %e = kiln.map "exp" %s : (tensor<4xf32>) -> tensor<4xf32>
    kiln.yield %s, %e : tensor<4xf32>, tensor<4xf32>
  }) : (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  kiln.return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}
