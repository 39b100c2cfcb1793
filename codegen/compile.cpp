// The compiler's entry: a graph in, a plan and the objects of its kernels out.
#include "runtime/compile.h"

#include <mlir/IR/MLIRContext.h>

#include "codegen/kernel_compiler.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/dump.h"
#include "passes/fuse_ir.h"
#include "passes/pipeline.h"

namespace kiln::codegen {
namespace {

using runtime::CompileRequest;
using runtime::CompileResult;
using runtime::KernelSpec;
using runtime::StageId;

std::string& text_of(CompileResult& result, StageId id) { return result.text[static_cast<std::size_t>(id)]; }

/// Graph to plan.
void plan(const CompileRequest& request, CompileResult& result, StageClock& clock, passes::Dump& dump) {
  double start = milliseconds_now();
  const auto lap = [&](const char* stage) {
    const double now = milliseconds_now();
    clock.add(stage, now - start);
    start = now;
  };
  const std::unique_ptr<mlir::MLIRContext> context = ir::make_context();
  lap("context");
  mlir::OwningOpRef<mlir::ModuleOp> module = ir::import_graph(*context, *request.graph);
  lap("import");
  passes::PipelineOptions options;
  options.passes = {request.numerics, request.target};
  options.dump = &dump;
  options.texts = request.texts != runtime::StageTexts::none;
  passes::run_pipeline(*module, options, result);
  for (const runtime::StageTime& t : result.times) clock.add(t.stage.c_str(), t.milliseconds);
  start = milliseconds_now();
  const passes::FusedGraph fused = passes::read_fused(ir::only_function(*module));
  result.plan = passes::build_plan(fused, request.numerics, request.graph);
  lap("plan");
  if (!options.texts && !dump.enabled()) return;
  text_of(result, StageId::kernels) = passes::kernels_text(fused, result.plan, request.graph);
  dump.stage("kernels", text_of(result, StageId::kernels), "txt");
  lap("print");
}

/// The kernels that the caller lacks; all of them where their text is wanted.
void compile_missing(const CompileRequest& request, CompileResult& result, StageClock& clock, passes::Dump& dump) {
  const bool low_level = request.texts == runtime::StageTexts::all || dump.enabled();
  std::vector<const KernelSpec*> specs;
  std::vector<std::string> keys;
  for (const KernelSpec& spec : result.plan.kernels) {
    std::string key = spec.key();
    if (!low_level && request.has_kernel && request.has_kernel(key)) continue;
    specs.push_back(&spec);
    keys.push_back(std::move(key));
  }
  std::vector<LowLevelText> texts(low_level ? specs.size() : 0);
  CompiledKernels compiled = compile_kernels(specs, request.target, texts, clock);
  for (std::string& bytes : compiled.objects) result.objects.push_back({{}, std::move(bytes)});
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const auto [object, ordinal] = compiled.places[i];
    std::vector<std::string>& held = result.objects[object].keys;
    held.resize(std::max(held.size(), static_cast<std::size_t>(ordinal) + 1));
    held[static_cast<std::size_t>(ordinal)] = keys[i];
    if (texts.empty()) continue;
    text_of(result, StageId::llvm) += "; kernel " + keys[i] + "\n" + texts[i].llvm + "\n";
    text_of(result, StageId::assembly) += "# kernel " + keys[i] + "\n" + texts[i].assembly + "\n";
  }
  if (!dump.enabled()) return;
  dump.stage("llvm", text_of(result, StageId::llvm), "ll");
  dump.stage("assembly", text_of(result, StageId::assembly), "s");
  dump.stage("graph", request.graph->dot(), "dot");
}

}  // namespace
}  // namespace kiln::codegen

extern "C" void kiln_compile(const kiln::runtime::CompileRequest& request, kiln::runtime::CompileResult& result) {
  kiln::codegen::StageClock clock;
  kiln::passes::Dump dump(request.dump_directory);
  kiln::codegen::plan(request, result, clock, dump);
  const double start = kiln::codegen::milliseconds_now();
  kiln::codegen::compile_missing(request, result, clock, dump);
  clock.add("kernels (wall)", kiln::codegen::milliseconds_now() - start);
  result.times = clock.times();
}
