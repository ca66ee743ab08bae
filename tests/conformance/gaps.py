"""What single backends cannot do, each with its reason. A gap that has closed makes its test fail, until it leaves this list.

The key is the backend's name and the test's, with the model in brackets where the gap is of one alone, and the graph's format behind it.
"""

from __future__ import annotations

ONCE = "TensorFlow takes its number of threads once for a process"

FLOATS = "ncnn takes and gives float32 alone"

GENERATED = "generated code takes and gives float32 alone"

GAPS: dict[tuple[str, str], str] = {
    ("generated_cpp", "test_answers_are_the_originals[words]"): GENERATED,
    ("generated_cpp", "test_answers_are_the_originals[two_outputs]"): GENERATED,
    ("generated_cpp", "test_answers_are_the_originals[pixels]"): GENERATED,
    ("ncnn", "test_answers_are_the_originals[words]"): FLOATS,
    ("ncnn", "test_answers_are_the_originals[two_outputs]"): FLOATS,
    ("ncnn", "test_answers_are_the_originals[pixels]"): FLOATS,
    ("ncnn", "test_answers_are_the_originals[static]"): "ncnn has no axis for samples, and this model takes two in every call",
    ("openvino", "test_every_graph_that_is_accepted_gives_the_same_answers[two_of_each-tflite]"): (
        "OpenVINO knows the tensors of a .tflite file by names of their own, and of several nothing says which is which in the signature"
    ),
    ("tensorflow", "test_threads_do_not_change_the_answer"): ONCE,
    ("xla", "test_threads_do_not_change_the_answer"): ONCE,
}
