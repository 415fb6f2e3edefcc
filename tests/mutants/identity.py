"""Faults of what results depend on: files, users' own code, addresses."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, faults_of

IDENTITY: tuple[Mutant, ...] = (
    *faults_of(
        "sim/core/user_code.py",
        ("tests/core/test_user_code.py",),
        (
            "workers_take_what_lies_beside_them",
            "    _loaded[top] = UserModule(path, _hash_of(top, path))\n\n\ndef restore",
            "\n\ndef restore",
        ),
        (
            "data_of_own_code_changes_unseen",
            "for place in data_files_of_module(name, file).values()]",
            "for place in ()]",
        ),
    ),
    *faults_of(
        "sim/core/user_code.py",
        ("tests/core/test_own_files.py",),
        ("inner_modules_stay_loaded", "for name in () if known is None else known.inner:", "for name in ():"),
        ("links_count_as_their_targets", "Path(spec.origin).absolute() if", "Path(spec.origin).resolve() if"),
    ),
    *faults_of(
        "sim/models/fingerprint.py",
        ("tests/models/test_loading.py",),
        ("equal_in_time_and_size_is_equal", "status.st_ctime_ns, status.st_ino", "0, 0"),
    ),
    *faults_of(
        "sim/models/checkpoint.py",
        ("tests/models/test_pickled.py",),
        (
            "weights_count_that_are_not_read",
            "for path in [*files, folder",
            'for path in [*folder.glob("*.safetensors"), folder',
        ),
    ),
    *faults_of(
        "sim/models/tokenizer.py",
        ("tests/tape/test_identity.py::test_another_chat_template_is_another_run",),
        ("chat_templates_do_not_count", "self.definition, self.chat_template]", "self.definition]"),
    ),
    *faults_of(
        "sim/core/local_imports.py",
        ("tests/core/test_user_code.py",),
        ("imports_of_imports_do_not_count", "waiting.append(inner)", "pass"),
        (
            "relative_imports_from_the_root",
            "start = package[: len(package) - level + 1] if level else []",
            "start = []",
        ),
    ),
    *faults_of(
        "sim/core/local_imports.py",
        ("tests/core/test_own_files.py",),
        ("calls_import_nothing", "_name_of(node.func) in _IMPORTERS", "_name_of(node.func) in ()"),
        ("packages_around_do_not_count", "for count in range(1, len(parts))]", "for count in ()]"),
        ("constants_name_no_files", "(place := path.parent / name).is_file()", "(place := path.parent / name) is None"),
        ("what_is_written_counts", "return name in _WRITERS or (is_written and name in _NAMERS)", "return False"),
        ("what_is_read_to_be_written_is_left_out", "or (is_written and name in _NAMERS)", "or is_written"),
        ("variables_are_always_read", "for name, is_written in uses.items() if is_written}", "for name in ()}"),
    ),
    *faults_of(
        "sim/core/own_imports.py",
        ("tests/core/test_own_files.py",),
        ("unseen_imports_pass", "if file is not None and not _is_installed(file):", "if False:"),
        ("everybody_is_own_code", "while frame is not None and frame.f_code.co_filename not in files:", "while False:"),
        ("what_is_installed_within_is_own", "if one != folder and one.is_relative_to(folder)]", "if False]"),
        ("names_are_enough", "if known is None and not folders:", "if not folders:"),
        ("copies_are_others", "known.read_bytes() == file.read_bytes()", "False"),
        ("modules_of_others_are_taken", "            return name, Path(file), path\n", "            pass\n"),
    ),
    *faults_of(
        "sim/sweep/executors.py",
        ("tests/core/test_own_files.py",),
        ("data_stays_behind", "return {**files, **data}", "return files"),
    ),
    *faults_of(
        "sim/core/addresses.py",
        ("tests/tape/test_identity.py",),
        ("address_of_written_order", "sort_keys=True, separators", "sort_keys=False, separators"),
    ),
    *faults_of(
        "sim/inputs/identity.py",
        ("tests/tape/test_identity.py",),
        (
            "key_without_sampling",
            '        "sampling": [workload.temperature, workload.top_k, workload.top_p],',
            '        "sampling": [],',
        ),
        (
            "key_without_draft_temperature",
            "return drafts and workload.draft_temperature not in (None, workload.temperature)",
            "return False",
        ),
        ("key_without_controller", '        "controller": with_contents(controller),', '        "controller": {},'),
        ("key_without_code", '        "code": decoding_code(),', '        "code": "",'),
        ("key_without_numerics", '        "numerics": [scenario.models.dtype, *', '        "numerics": [*'),
    ),
    *faults_of(
        "sim/inputs/identity.py",
        ("tests/tape/test_identity_of_files.py",),
        ("key_by_path", '"sha256": file_digest(path), ', '"sha256": plain, '),
        ("key_by_name", '"sha256": file_digest(path), ', '"sha256": path.name, '),
        ("read_in_whatever_way", '"format": reading_format(path)', '"format": ""'),
        ("folders_by_path", 'return {"folder": _files_in(path)} if', 'return {"folder": plain} if'),
        ("words_are_files", "key in _FILE_KEYS and value not in _NO_FILES)", "key in _FILE_KEYS)"),
        ("kinds_by_path", "if key not in own_parts}", "if key != own_parts}"),
        ("prices_by_name", "[site, cost_models[site][role].basis()]", "[site, cost_models[site][role].describe()]"),
    ),
    *faults_of(
        "sim/cli/output.py",
        ("tests/tape/test_identity_of_files.py",),
        ("answers_by_path", "with_contents(scenario.dump())", "scenario.dump()"),
    ),
    *faults_of(
        "sim/compute/model_config.py",
        ("tests/tape/test_identity_of_files.py",),
        ("sizes_named_by_path", "return shape_of(shown, shown,", "return shape_of(name, shown,"),
    ),
)
