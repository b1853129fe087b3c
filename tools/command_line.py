"""The command `simclr-tf VERB ...`: argv, errors and exit codes of every tool.

A user's mistake is one line on stderr and exit code 2, and so is what memory and disks
refuse; nothing else is caught, so a bug keeps its traceback. TensorFlow is imported
only after `--help` and typos are handled.
"""

import contextlib
import difflib
import errno
import importlib
import os
import pathlib
import shlex
import signal
import sys
import threading

from absl import flags

from simclr_tf.config.moved import present_spelling
from simclr_tf.errors import Interrupted, LostPeerError, SimCLRError
from simclr_tf.files import may_be_a_pattern, plain_reason
from simclr_tf.tools.config_flags import Given, define
from simclr_tf.tools.flag_help import help_text

VERBS = {  # In the order of the work.
    "pretrain": "Learn an encoder from images, without labels.",
    "evaluate": "Measure a frozen encoder: kNN, linear, few labels.",
    "embed": "Write the features of your images: npz, csv or parquet.",
    "similar": "Find look-alikes and near-duplicates in a folder.",
    "finetune": "Fine-tune the encoder on few labels; compare with scratch.",
    "transfer": "Measure and fine-tune one encoder on several labelled sets.",
    "distill": "Train a student network on a fine-tuned teacher's predictions.",
    "predict": "Write the classes of your images, by a fine-tuned classifier.",
    "export": "Write the encoder as a SavedModel with its card.",
    "report": "Write a page about runs: results, neighbours, maps, curves.",
    "show_views": "Show what a recipe does to your images, before a run.",
    "ablate": "Repeat an ablation of the paper, and draw its figure.",
    "benchmark": "Measure views, steps, losses and data sets on this machine.",
    "convert_checkpoint": "Import published weights; convert an encoder for PyTorch.",
    "zoo": "List the encoders that ship with the package, or a folder's.",
}


# How XLA, CUDA and its libraries report in an error of another kind.
_OUT_OF_MEMORY = (
    "RESOURCE_EXHAUSTED",
    "Out of memory",
    "out of memory",
    "std::bad_alloc",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "STATUS_ALLOC_FAILED",
    "Dst tensor is not initialized",
)


class FlagError(SimCLRError):
    """A flag that is unknown, malformed or missing."""


def main(argv=None):
    """Run `simclr-tf`; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print("Usage: simclr-tf VERB [--flag=value ...]\n")
        for verb, line in VERBS.items():
            print(f"  {verb:20}{line}")
        print(
            "\nsimclr-tf VERB --help lists the flags of a verb, the common ones first."
        )
        return 0
    verb = arguments[0]
    if verb == "--version":
        from simclr_tf import __version__

        print(f"simclr-tf {__version__}")
        return 0
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=2)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return _fail(f"Unknown verb '{verb}'.{hint} Verbs: {', '.join(VERBS)}.")
    tool = importlib.import_module(f"simclr_tf.tools.{verb}")
    return tool.main(arguments[1:])


def execute(verb, doc, sections, run, argv=None):
    """Parse the flags of one tool and run it.

    Args:
      verb: str.
      doc: str, the tool's docstring; its text heads `--help`.
      sections: section classes or FlagsOf: the options that the verb has.
      run: function of a Given; may return another exit code than 0.
      argv: list of str without the program's name; `sys.argv[1:]` if None.

    Returns:
      int, the exit code: 0 or what `run` returns, 2 for a user's mistake, 128 + the
      signal's number when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with contextlib.suppress(AttributeError):  # Not where a test has replaced it.
        sys.stdout.reconfigure(errors="backslashreplace")  # As stderr: any name.
    try:
        wanted = {"--help", "-h", "--help=all"} & set(arguments)
        if wanted:
            presets = [a for a in arguments if a.startswith("--preset=")]
            print(
                help_text(
                    doc,
                    sections,
                    everything="--help=all" in wanted,
                    preset=presets[0].partition("=")[2] if presets else None,
                ),
                flush=True,
            )
            return 0
        given = parse(verb, sections, arguments)
        with _ended_by_sigterm():
            code = run(given)
    except LostPeerError as error:
        _fail(str(error))
        _exit_now(2)
    except SimCLRError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(f"simclr-tf: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # The reader, such as `| head`, has closed the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        problem = _problem_of_machine(error)
        if problem is None:
            raise  # A bug keeps its traceback.
        return _fail(problem)
    return code or 0


def done(written, verb=None, **flags):
    """Print what a verb wrote and, if there is one, the next command.

    Args:
      written: path, or list of paths.
      verb: str, the verb to run next; None: no next command.
      **flags: flags of the next command by name; None leaves a flag out.
    """
    paths = written if isinstance(written, (list, tuple)) else [written]
    line = f"Done: {', '.join(map(str, paths))}."
    if verb:
        line += f" Next: {command_text(verb, **flags)}"
    print(line, flush=True)


def command_text(verb, **flags):
    """Write a command as it is typed; flags whose value is None are left out.

    Example:
      >>> command_text("export", workdir="my run", version=None)
      "simclr-tf export '--workdir=my run'"
    """
    given = [f"--{name}={v}" for name, v in flags.items() if v is not None]
    return shlex.join(["simclr-tf", *verb.split(), *given])


def new_path(path):
    """Number the path if it exists already: the first free of `a`, `a_2`, `a_3`, ..."""
    path, number = pathlib.Path(path), 1
    taken = path
    while taken.expanduser().exists():
        number += 1
        taken = path.with_name(f"{path.name}_{number}")
    return taken


def results_folder(options):
    """Choose the folder into which `evaluate`, `finetune` and `transfer` write.

    Args:
      options: MeasuredEncoder.

    Returns:
      pathlib.Path.
    """
    from simclr_tf.commands.encoder_at import output_folder

    return output_folder(options)


def export_of(workdir, classifier=None):
    """List the flags that export a run, or a classifier of the run, for `done`."""
    name = pathlib.Path(workdir).expanduser().resolve().name
    if classifier is not None:
        name = f"{name}_{classifier.name}"
    name = "".join("_" if may_be_a_pattern(letter) else letter for letter in name)
    output = new_path(pathlib.Path("exported_models") / name)
    return {"workdir": workdir, "classifier": classifier, "output": output}


def parse(verb, sections, arguments):
    """Read the flags of a verb.

    Args:
      verb: str.
      sections: section classes or FlagsOf.
      arguments: list of str.

    Returns:
      Given.

    Raises:
      FlagError: a flag that is unknown, malformed or of an earlier version.
      ConfigError: of `Given`.
    """
    values = define(sections)
    _parse(verb, values, arguments)
    return Given(verb, sections, values, arguments)


@contextlib.contextmanager
def _ended_by_sigterm():
    """Treat SIGTERM like Ctrl-C, so that nothing half done is left.

    A run in training installs its own handler.
    """

    received = []

    def end(number, frame):
        received.append(Interrupted("SIGTERM: ended before it was done.", number))
        raise received[0]

    before = signal.getsignal(signal.SIGTERM)
    if (
        before is not signal.SIG_DFL
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception:
        if received:  # An extension turned it into an error of its own.
            raise received[0] from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _parse(verb, values, arguments):
    try:
        rest = values(["simclr-tf", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        moved = [
            f"--{old} is now spelled {present}"
            for old, _, value in (a.lstrip("-").partition("=") for a in arguments)
            for present in [present_spelling(old, value or None, verb)]
            if present and old not in values
        ]
        if name in [line.split()[0].lstrip("-") for line in moved]:
            raise FlagError(f"{', '.join(moved)}.") from None
        near = difflib.get_close_matches(name, list(values), n=2, cutoff=0.5)
        # `temperature` can only mean `objective.temperature`.
        ends = [flag for flag in values if flag.endswith(f".{name}")]
        near = list(dict.fromkeys([*ends, *near]))
        hint = f" Did you mean {' or '.join(f'--{n}' for n in near)}?" if near else ""
        raise FlagError(f"Unknown flag --{name}.{hint} --help lists all.") from None
    except (flags.Error, ValueError) as error:
        raise FlagError(" ".join(str(error).split())) from None
    if rest:
        raise FlagError(f"Unexpected argument '{rest[0]}': flags are --name=value.")


def _problem_of_machine(error):
    """Describe in one line what memory or a disk did; None for anything else."""
    names = {kind.__name__ for kind in type(error).__mro__}
    is_full = bool(names & {"MemoryError", "ResourceExhaustedError"})
    if "OpError" in names:  # Libraries below TensorFlow name it in their own ways.
        is_full |= any(text in str(error) for text in _OUT_OF_MEMORY)
    if is_full or getattr(error, "errno", None) == errno.ENOMEM:
        return (
            f"Out of memory: {plain_reason(error)}. Use a smaller batch "
            "(--micro_batch_size in pretrain keeps the batch of the loss), smaller "
            "images or a smaller network."
        )
    if isinstance(error, OSError) and error.errno is not None:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{place}{error.strerror}. Is it readable and writable, with room left?"
    return None


def _exit_now(code):
    """End the process although TensorFlow's threads still wait for a lost worker."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(message):
    line = " ".join(message.split())
    # Names of files may hold anything, also what moves the cursor of a terminal.
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"simclr-tf: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
