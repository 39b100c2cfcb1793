// MLIR to LLVM IR to an object.
#include "codegen/lower.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
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
}

CompileWorker::~CompileWorker() = default;

bool CompileWorker::is_fresh() const {
  constexpr int kCompilations = 500;
  return compilations_ < kCompilations;
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

void convert_to_llvm_dialect(mlir::ModuleOp module) {
  mlir::MLIRContext* context = module.getContext();
  mlir::LowerToLLVMOptions options(context);
  mlir::LLVMTypeConverter types(context, options);
  mlir::ConversionConfig config;
  config.allowPatternRollback = false;
  {
    mlir::RewritePatternSet patterns(context);
    mlir::populateSCFToControlFlowConversionPatterns(patterns);
    mlir::ConversionTarget target(*context);
    target.addIllegalDialect<mlir::scf::SCFDialect>();
    target.markUnknownOpDynamicallyLegal([](mlir::Operation*) { return true; });
    if (failed(mlir::applyPartialConversion(module, target, std::move(patterns), config))) {
      throw CompileError("code generation: loops do not lower", {});
    }
  }
  mlir::RewritePatternSet patterns(context);
  mlir::cf::populateControlFlowToLLVMConversionPatterns(types, patterns);
  mlir::arith::populateArithToLLVMConversionPatterns(types, patterns);
  mlir::populateVectorToLLVMConversionPatterns(types, patterns);
  mlir::ub::populateUBToLLVMConversionPatterns(types, patterns);
  mlir::LLVMConversionTarget target(*context);
  if (failed(mlir::applyPartialConversion(module, target, std::move(patterns), config))) {
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
  if (machine.addPassesToEmitFile(passes, out, nullptr, kind)) throw CompileError("code generation: this target emits no objects", {});
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

namespace {

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

}  // namespace

std::string CompileWorker::object(mlir::ModuleOp module, const Target& target, LowLevelText* text, StageClock& clock) {
  ++compilations_;
  double start = milliseconds_now();
  const auto lap = [&](const char* stage) {
    const double now = milliseconds_now();
    clock.add(stage, now - start);
    start = now;
  };
  convert_to_llvm_dialect(module);
  lap("convert");
  llvm::LLVMContext llvm_context;
  std::unique_ptr<llvm::Module> translated = mlir::translateModuleToLLVMIR(module, llvm_context, "kiln", /*disableVerification=*/true);
  if (!translated) throw CompileError("code generation: translation to LLVM IR failed", {});
  llvm::TargetMachine& tm = machine(target);
  prepare(*translated, tm, target);
  lap("translate");
  optimize(*translated, tm);
  if (target.isa == Isa::avx512) repair_masked_logic(*translated);
  lap("llvm-opt");
  if (text != nullptr) {
    text->llvm = print(*translated);
    std::unique_ptr<llvm::Module> copy = llvm::CloneModule(*translated);
    text->assembly = generate(*copy, tm, llvm::CodeGenFileType::AssemblyFile);
    start = milliseconds_now();
  }
  std::string bytes = generate(*translated, tm, llvm::CodeGenFileType::ObjectFile);
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
