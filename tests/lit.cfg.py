# Configuration of lit for tests/ir and tests/passes; tests/run_lit sets the two directories.
import os

import lit.formats

build = os.environ["KILN_LIT_BUILD"]
config.name = "kiln"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(build, "tests", "lit")
tools = [os.path.join(build, "bin"), os.environ["KILN_LIT_LLVM_BIN"]]
config.environment["PATH"] = os.pathsep.join(tools + [config.environment["PATH"]])
