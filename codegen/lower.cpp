// MLIR to LLVM IR to an object.
#include "codegen/lower.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <mlir/Conversion/ArithToLLVM/ArithToLLVM.h>
#include <mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h>
#include <mlir/Conversion/LLVMCommon/ConversionTarget.h>
#include <mlir/Conversion/LLVMCommon/LoweringOptions.h>
#include <mlir/Conversion/LLVMCommon/TypeConverter.h>
#include <mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h>
#include <mlir/Conversion/UBToLLVM/UBToLLVM.h>
#include <mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h>
#include <mlir/Dialect/ControlFlow/IR/ControlFlow.h>
#include <mlir/Dialect/LLVMIR/LLVMDialect.h>
#include <mlir/Dialect/LLVMIR/NVVMDialect.h>
#include <mlir/Dialect/SCF/IR/SCF.h>
#include <mlir/Dialect/UB/IR/UBOps.h>
#include <mlir/Dialect/Vector/IR/VectorOps.h>
#include <mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h>
#include <mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h>
#include <mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h>
#include <mlir/Target/LLVMIR/Export.h>
#include <mlir/Transforms/DialectConversion.h>

#include <chrono>
#include <mutex>

#include "base/require.h"
#include "codegen/llvm_repairs.h"
#include "codegen/pass_filter.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

void StageClock::add(const char* stage, double milliseconds) {
  for (runtime::StageTime& t : times_) {
    if (t.stage == stage) {
      t.milliseconds += milliseconds;
      return;
    }
  }
  times_.push_back({stage, milliseconds});
}

void StageClock::merge(const StageClock& other) {
  for (const runtime::StageTime& t : other.times_) add(t.stage.c_str(), t.milliseconds);
}

double milliseconds_now() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

CompileWorker::CompileWorker() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  mlir::DialectRegistry registry;
  registry.insert<mlir::arith::ArithDialect, mlir::scf::SCFDialect, mlir::vector::VectorDialect, mlir::cf::ControlFlowDialect,
                  mlir::ub::UBDialect, mlir::LLVM::LLVMDialect, mlir::NVVM::NVVMDialect>();
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  mlir::registerNVVMDialectTranslation(registry);
  context_ = std::make_unique<mlir::MLIRContext>(registry, mlir::MLIRContext::Threading::DISABLED);
  context_->loadAllAvailableDialects();
  conversion_ = std::make_unique<ConversionToLlvm>(*context_);
}

CompileWorker::~CompileWorker() = default;

bool CompileWorker::is_fresh() const {
  constexpr int kCompilations = 500;
  return compilations_ < kCompilations && kernels_ == nullptr;
}

namespace {

/// The triple of a target's code; sees to it that LLVM knows it.
llvm::Triple triple_of(const Target& target) {
  if (!target.is_aarch64()) return llvm::Triple("x86_64-unknown-linux-gnu");
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
  });
  return llvm::Triple("aarch64-unknown-linux-gnu");
}

}  // namespace

llvm::TargetMachine& CompileWorker::machine(const Target& target) {
  std::unique_ptr<llvm::TargetMachine>& slot = machines_[target.cpu + "/" + target.features];
  if (slot) return *slot;
  const llvm::Triple triple = triple_of(target);
  std::string message;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, message);
  if (found == nullptr) throw CompileError(fmt::format("code generation: {}", message), {});
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.NoTrappingFPMath = true;
  slot.reset(found->createTargetMachine(triple, target.cpu, target.features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                        llvm::CodeGenOptLevel::Default));
  return *slot;
}

namespace {

mlir::FrozenRewritePatternSet loop_patterns(mlir::MLIRContext& context) {
  mlir::RewritePatternSet patterns(&context);
  mlir::populateSCFToControlFlowConversionPatterns(patterns);
  return patterns;
}

mlir::FrozenRewritePatternSet operation_patterns(mlir::MLIRContext& context, mlir::LLVMTypeConverter& types) {
  mlir::RewritePatternSet patterns(&context);
  mlir::cf::populateControlFlowToLLVMConversionPatterns(types, patterns);
  mlir::arith::populateArithToLLVMConversionPatterns(types, patterns);
  mlir::populateVectorToLLVMConversionPatterns(types, patterns);
  mlir::ub::populateUBToLLVMConversionPatterns(types, patterns);
  return patterns;
}

}  // namespace

struct ConversionToLlvm::Impl {
  explicit Impl(mlir::MLIRContext& context)
      : types(&context, mlir::LowerToLLVMOptions(&context)),
        loops(loop_patterns(context)),
        operations(operation_patterns(context, types)),
        without_loops(context),
        llvm_only(context) {
    without_loops.addIllegalDialect<mlir::scf::SCFDialect>();
    without_loops.markUnknownOpDynamicallyLegal([](mlir::Operation*) { return true; });
  }
  mlir::LLVMTypeConverter types;
  mlir::FrozenRewritePatternSet loops, operations;
  mlir::ConversionTarget without_loops;
  mlir::LLVMConversionTarget llvm_only;
};

ConversionToLlvm::ConversionToLlvm(mlir::MLIRContext& context) : impl_(std::make_unique<Impl>(context)) {}
ConversionToLlvm::~ConversionToLlvm() = default;

void ConversionToLlvm::run(mlir::ModuleOp module) const {
  mlir::ConversionConfig config;
  config.allowPatternRollback = false;
  if (failed(mlir::applyPartialConversion(module, impl_->without_loops, impl_->loops, config))) {
    throw CompileError("code generation: loops do not lower", {});
  }
  if (failed(mlir::applyPartialConversion(module, impl_->llvm_only, impl_->operations, config))) {
    throw CompileError("code generation: operations do not lower", {});
  }
}

void optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::PassBuilder builder(&machine);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);

  llvm::FunctionPassManager passes;
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  llvm::LoopPassManager rotate;
  rotate.addPass(llvm::LoopRotatePass());
  rotate.addPass(llvm::LICMPass(llvm::LICMOptions()));
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(rotate), true));
  passes.addPass(llvm::InstCombinePass(llvm::InstCombineOptions().setMaxIterations(1)));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::SimplifyCFGPass());
  llvm::ModulePassManager all;
  all.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
  all.run(module, modules);
}

std::string generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType kind) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream out(bytes);
  llvm::legacy::PassManager passes;
  PassFilter filter(passes);
  if (machine.addPassesToEmitFile(filter, out, nullptr, kind, /*DisableVerify=*/true))
    throw CompileError("code generation: this target emits no objects", {});
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

namespace {

/// Adds the time since the last stage to a clock.
class Lap {
 public:
  explicit Lap(StageClock& clock) : clock_(clock), start_(milliseconds_now()) {}
  void operator()(const char* stage) {
    const double now = milliseconds_now();
    clock_.add(stage, now - start_);
    start_ = now;
  }

 private:
  StageClock& clock_;
  double start_;
};

std::string print(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream out(text);
  module.print(out, nullptr);
  return text;
}

void prepare(llvm::Module& module, llvm::TargetMachine& machine, const Target& target) {
  module.setDataLayout(machine.createDataLayout());
  module.setTargetTriple(machine.getTargetTriple());
  for (llvm::Function& f : module) {
    if (f.isDeclaration()) continue;
    f.addFnAttr(llvm::Attribute::NoUnwind);
    f.addFnAttr("prefer-vector-width", std::to_string(target.float_lanes() * 32));
    // Vectors of fixed length are SVE registers where their length is known.
    if (target.isa == Isa::sve256) f.addFnAttr(llvm::Attribute::getWithVScaleRangeArgs(module.getContext(), 2, 2));
    f.addFnAttr("no-trapping-math", "true");
  }
}

void finish(llvm::Module& module, llvm::TargetMachine& machine, const Target& target) {
  optimize(module, machine);
  widen_half_rounding(module);
  if (target.isa == Isa::avx512) repair_masked_logic(module);
}

}  // namespace

void CompileWorker::add(mlir::ModuleOp module, const std::string& entry, const Target& target, LowLevelText* text, StageClock& clock) {
  ++compilations_;
  Lap lap(clock);
  conversion_->run(module);
  lap("convert");
  if (!llvm_context_) llvm_context_ = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> translated = mlir::translateModuleToLLVMIR(module, *llvm_context_, "kiln", /*disableVerification=*/true);
  if (!translated) throw CompileError("code generation: translation to LLVM IR failed", {});
  llvm::TargetMachine& tm = machine(target);
  prepare(*translated, tm, target);
  lap("translate");
  if (text != nullptr) {
    finish(*translated, tm, target);
    text->llvm = print(*translated);
    std::unique_ptr<llvm::Module> copy = llvm::CloneModule(*translated);
    text->assembly = generate(*copy, tm, llvm::CodeGenFileType::AssemblyFile);
    lap("text");
  }
  translated->getFunction(runtime::kKernelEntry)->setName(entry);
  if (!kernels_) {
    kernels_ = std::move(translated);
    linker_ = std::make_unique<llvm::Linker>(*kernels_);
  } else if (linker_->linkInModule(std::move(translated))) {
    throw CompileError("code generation: kernels do not fit into one module", {});
  }
  lap("merge");
}

std::string CompileWorker::object(const Target& target, StageClock& clock) {
  Lap lap(clock);
  llvm::TargetMachine& tm = machine(target);
  finish(*kernels_, tm, target);
  lap("llvm-opt");
  std::string bytes = generate(*kernels_, tm, llvm::CodeGenFileType::ObjectFile);
  linker_.reset();
  kernels_.reset();
  llvm_context_.reset();
  lap("codegen");
  return bytes;
}

namespace {
std::mutex pool_mutex;
std::vector<std::unique_ptr<CompileWorker>>& idle_workers() {
  static auto* workers = new std::vector<std::unique_ptr<CompileWorker>>;  // never destroyed: a thread may still compile at exit
  return *workers;
}
}  // namespace

WorkerLease::WorkerLease() {
  {
    const std::lock_guard lock(pool_mutex);
    if (!idle_workers().empty()) {
      worker_ = std::move(idle_workers().back());
      idle_workers().pop_back();
    }
  }
  if (!worker_) worker_ = std::make_unique<CompileWorker>();
}

WorkerLease::~WorkerLease() {
  if (!worker_->is_fresh()) return;
  const std::lock_guard lock(pool_mutex);
  idle_workers().push_back(std::move(worker_));
}

}  // namespace kiln::codegen
