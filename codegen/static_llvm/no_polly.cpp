// LLD's link-time optimizer, which is never run here, names Polly, which is not linked.
#include <llvm/Plugins/PassPlugin.h>

llvm::PassPluginLibraryInfo getPollyPluginInfo() { return {}; }
