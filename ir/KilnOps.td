// The kiln dialect: elementwise ops are one op (kiln.map), structural ops one line each, a fusion is a region.
// Shape rules, gradients and meaning are not here: they are the vocabulary's (ops/), found by name.
#ifndef KILN_OPS
#define KILN_OPS

include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kiln_Dialect : Dialect {
  let name = "kiln";
  let cppNamespace = "::kiln::ir";
  let summary = "Tensor programs captured by Kiln";
  let hasRegionArgAttrVerify = 1;
}

def Kiln_Tensor : RankedTensorOf<[I1, UI8, I8, I32, I64, F16, BF16, F32, F64]>;

// The op is an OpDef of the vocabulary: the verifier calls its infer.
def Kiln_InVocabulary : NativeOpTrait<"InVocabulary"> { let cppNamespace = "::kiln::ir"; }
// Attributes of the vocabulary that the text does not repeat, because the result type says them.
def Kiln_ShapeIsResultType : NativeOpTrait<"ShapeIsResultType"> { let cppNamespace = "::kiln::ir"; }
def Kiln_DTypeIsResultType : NativeOpTrait<"DTypeIsResultType"> { let cppNamespace = "::kiln::ir"; }

class Kiln_Op<string mnemonic, list<Trait> traits = []> : Op<Kiln_Dialect, mnemonic, traits>;

// kiln.NAME %a, %b {attributes} : (types) -> type
class Kiln_Structural<string name, dag signature, list<Trait> traits = []> : Kiln_Op<name, traits # [Pure, Kiln_InVocabulary]> {
  let arguments = signature;
  let results = (outs Kiln_Tensor:$result);
  let assemblyFormat = "operands attr-dict `:` functional-type(operands, results)";
}

def Kiln_MapOp : Kiln_Op<"map", [Pure, Kiln_InVocabulary]> {
  let summary = "An elementwise op of the vocabulary; all operands have the result's shape";
  let arguments = (ins StrAttr:$function, Variadic<Kiln_Tensor>:$inputs);
  let results = (outs Kiln_Tensor:$result);
  let assemblyFormat = "$function $inputs attr-dict `:` functional-type($inputs, $result)";
}

def Kiln_ReduceOp : Kiln_Structural<"reduce", (ins Kiln_Tensor:$input, StrAttr:$kind, DenseI64ArrayAttr:$axes)>;
def Kiln_ArgReduceOp : Kiln_Structural<"arg_reduce", (ins Kiln_Tensor:$input, StrAttr:$kind, I64Attr:$axis)>;
def Kiln_ContractOp : Kiln_Structural<"contract", (ins Kiln_Tensor:$lhs, Kiln_Tensor:$rhs, StrAttr:$equation, StrAttr:$order, StrAttr:$window,
    OptionalAttr<DenseI64ArrayAttr>:$strides, OptionalAttr<DenseI64ArrayAttr>:$padding_low, OptionalAttr<DenseI64ArrayAttr>:$padding_high,
    OptionalAttr<DenseI64ArrayAttr>:$lhs_dilation, OptionalAttr<DenseI64ArrayAttr>:$rhs_dilation, OptionalAttr<DenseI64ArrayAttr>:$reverse)>;
// The same without operands.
class Kiln_Source<string name, dag signature, list<Trait> traits = []> : Kiln_Structural<name, signature, traits> {
  let assemblyFormat = "attr-dict `:` functional-type(operands, results)";
}
class Kiln_Windowed<string name, dag signature> : Kiln_Structural<name, !con(signature, (ins StrAttr:$kind, DenseI64ArrayAttr:$window,
    DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$padding_low, DenseI64ArrayAttr:$padding_high))>;
def Kiln_WindowReduceOp : Kiln_Windowed<"window_reduce", (ins Kiln_Tensor:$input)>;
def Kiln_WindowMaxGradOp : Kiln_Windowed<"window_max_grad", (ins Kiln_Tensor:$input, Kiln_Tensor:$gradient)>;
def Kiln_ReshapeOp : Kiln_Structural<"reshape", (ins Kiln_Tensor:$input), [Kiln_ShapeIsResultType]>;
def Kiln_TransposeOp : Kiln_Structural<"transpose", (ins Kiln_Tensor:$input, DenseI64ArrayAttr:$perm)>;
def Kiln_BroadcastOp : Kiln_Structural<"broadcast", (ins Kiln_Tensor:$input, DenseI64ArrayAttr:$dims), [Kiln_ShapeIsResultType]>;
def Kiln_SliceOp : Kiln_Structural<"slice", (ins Kiln_Tensor:$input, DenseI64ArrayAttr:$start, DenseI64ArrayAttr:$limit, DenseI64ArrayAttr:$step)>;
def Kiln_ConcatOp : Kiln_Structural<"concat", (ins Variadic<Kiln_Tensor>:$inputs, I64Attr:$axis)>;
def Kiln_PadOp : Kiln_Structural<"pad", (ins Kiln_Tensor:$input, Kiln_Tensor:$value, DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high, DenseI64ArrayAttr:$interior)>;
def Kiln_GatherOp : Kiln_Structural<"gather", (ins Kiln_Tensor:$input, Kiln_Tensor:$indices, I64Attr:$axis)>;
def Kiln_ScatterAddOp : Kiln_Structural<"scatter_add", (ins Kiln_Tensor:$input, Kiln_Tensor:$indices, Kiln_Tensor:$updates, I64Attr:$axis)>;
def Kiln_IotaOp : Kiln_Source<"iota", (ins I64Attr:$axis), [Kiln_ShapeIsResultType, Kiln_DTypeIsResultType]>;
def Kiln_CastOp : Kiln_Structural<"cast", (ins Kiln_Tensor:$input), [Kiln_DTypeIsResultType]>;
def Kiln_ConstantOp : Kiln_Source<"constant", (ins ElementsAttr:$value)>;
def Kiln_RandomOp : Kiln_Structural<"random", (ins Kiln_Tensor:$key, StrAttr:$kind, I64Attr:$stream), [Kiln_ShapeIsResultType, Kiln_DTypeIsResultType]>;

def Kiln_FusionOp : Kiln_Op<"fusion", [Pure, IsolatedFromAbove, SingleBlock]> {
  let summary = "Ops that one launch computes; kind is loop, reduce, row, contract or scatter, named after its root";
  let arguments = (ins StrAttr:$kind, Variadic<Kiln_Tensor>:$inputs);
  let results = (outs Variadic<Kiln_Tensor>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$kind ` ` `(` $inputs `)` ` ` `(` $body `)` attr-dict `:` functional-type($inputs, $outputs)";
  let hasVerifier = 1;
}

def Kiln_YieldOp : Kiln_Op<"yield", [Pure, Terminator, HasParent<"FusionOp">]> {
  let summary = "Ends a fusion: its results";
  let arguments = (ins Variadic<Kiln_Tensor>:$values);
  let assemblyFormat = "$values attr-dict (`:` type($values)^)?";
}

def Kiln_ReturnOp : Kiln_Op<"return", [Pure, Terminator]> {
  let summary = "Ends the function: its results, then the new values of the parameters listed in writes";
  let arguments = (ins Variadic<Kiln_Tensor>:$values, OptionalAttr<DenseI64ArrayAttr>:$writes);
  let assemblyFormat = "$values attr-dict (`:` type($values)^)?";
  let hasVerifier = 1;
}

#endif
