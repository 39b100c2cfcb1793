// What the verifier rejects, with the vocabulary's own words.
// RUN: kiln-opt %s --split-input-file --verify-diagnostics

func.func @unknown_function(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{unknown function "frobnicate"}}
  %0 = kiln.map "frobnicate" %x : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @not_elementwise(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{"reshape" is not elementwise}}
  %0 = kiln.map "reshape" %x : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @operand_count(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{"add" takes 2 operands, got 1}}
  %0 = kiln.map "add" %x : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @implicit_broadcast(%x: tensor<4xf32>, %y: tensor<f32>) -> tensor<4xf32> {
  // expected-error@+1 {{operands must have one shape, got [4] and []}}
  %0 = kiln.map "add" %x, %y : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @mixed_types(%x: tensor<4xf32>, %y: tensor<4xf64>) -> tensor<4xf32> {
  // expected-error@+1 {{operands must have one dtype, got float32[4] and float64[4]}}
  %0 = kiln.map "add" %x, %y : (tensor<4xf32>, tensor<4xf64>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @wrong_result(%x: tensor<4x6xf32>) -> tensor<6xf32> {
  // expected-error@+1 {{result type float32[6] differs from the inferred float32[4]}}
  %0 = kiln.reduce %x {axes = array<i64: 1>, kind = "add"} : (tensor<4x6xf32>) -> tensor<6xf32>
  kiln.return %0 : tensor<6xf32>
}

// -----

func.func @missing_attribute(%x: tensor<4x6xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{requires attribute 'kind'}}
  %0 = kiln.reduce %x {axes = array<i64: 1>} : (tensor<4x6xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @axis_out_of_range(%x: tensor<4x6xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{kiln.reduce}}
  %0 = kiln.reduce %x {axes = array<i64: 2>, kind = "add"} : (tensor<4x6xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

func.func @unnamed_length(%x: tensor<?xf32>) -> tensor<?xf32> {
  // expected-error@+1 {{operand lengths need names: tensor<?xf32, "batch">}}
  %0 = kiln.map "exp" %x : (tensor<?xf32>) -> tensor<?xf32>
  kiln.return %0 : tensor<?xf32>
}

// -----

func.func @names_that_do_not_fit(%x: tensor<?x4xf32, "batch">) -> tensor<?x4xf32, "batch"> {
  // expected-error@+1 {{operand lengths need names}}
  %0 = kiln.map "exp" %x : (tensor<?x4xf32, "batch">) -> tensor<?x4xf32, "batch">
  kiln.return %0 : tensor<?x4xf32, "batch">
}

// -----

func.func @element_type(%x: tensor<4xi16>) -> tensor<4xi16> {
  // expected-error@+1 {{operand #0 must be variadic of ranked tensor}}
  %0 = kiln.map "neg" %x : (tensor<4xi16>) -> tensor<4xi16>
  kiln.return %0 : tensor<4xi16>
}

// -----

// expected-error@+1 {{unknown kiln.kind "weight" of argument 0}}
func.func @parameter_kind(%x: tensor<4xf32> {kiln.kind = "weight"}) -> tensor<4xf32> {
  kiln.return %x : tensor<4xf32>
}

// -----

func.func @writes_nothing(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{writes parameter 1, which does not exist}}
  kiln.return %x {writes = array<i64: 1>} : tensor<4xf32>
}

// -----

func.func @writes_twice(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // expected-error@+1 {{writes parameter 0 twice}}
  kiln.return %x, %x {writes = array<i64: 0, 0>} : tensor<4xf32>, tensor<4xf32>
}

// -----

func.func @writes_other_type(%x: tensor<4xf32>, %y: tensor<5xf32>) -> tensor<5xf32> {
  // expected-error@+1 {{writes 'tensor<5xf32>' to parameter 0 of type 'tensor<4xf32>'}}
  kiln.return %y {writes = array<i64: 0>} : tensor<5xf32>
}

// -----

func.func @returns_other_type(%x: tensor<4xf32>) -> tensor<5xf32> {
  // expected-error@+1 {{must return values of its function's result types}}
  kiln.return %x : tensor<4xf32>
}
