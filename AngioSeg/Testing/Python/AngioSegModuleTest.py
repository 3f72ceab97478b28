"""Run by the extension's build in 3D Slicer: the module is found, and its own test passes."""

import unittest

import slicer


class AngioSegModuleTest(unittest.TestCase):
    def test_moduleIsFound(self):
        self.assertTrue(hasattr(slicer.modules, "angioseg"))

    def test_ownTestPasses(self):
        from AngioSeg import AngioSegTest

        AngioSegTest().runTest()
