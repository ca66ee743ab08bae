"""The one line of a message of TensorFlow or Keras that says what went wrong."""

from __future__ import annotations

from roadworthy.frameworks.tensorflow.framework import first_line


def test_the_line_of_tensorflow_that_says_it() -> None:
    keras = (
        "Exception encountered when calling Conv2D.call().\n\n\x1b[1m{{function_node __wrapped__Conv2D_device_CPU:0}} The Conv2D op "
        "only supports NHWC. [Op:Conv2D]\x1b[0m\n\nArguments received by Conv2D.call():\n  • inputs=tf.Tensor(shape=(2, 3))"
    )
    assert first_line(ValueError(keras)) == "The Conv2D op only supports NHWC."
    graph = (
        'Graph execution error:\n\nDetected at node dense/MatMul defined at (most recent call last):\n  File "/a/b.py", line 3, in call\n\n'
        "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,5]\n\t [[{{node dense/MatMul}}]] [Op:__inference_call_12]"
    )
    assert first_line(RuntimeError(graph)) == "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,5]"
    code = "in user code:\n\n    File \"/a/net.py\", line 7, in call  *\n        x = self.fc(y)\n\n    NameError: name 'y' is not defined\n"
    assert first_line(RuntimeError(code)) == "name 'y' is not defined"
    assert first_line(ValueError()) == "ValueError"
