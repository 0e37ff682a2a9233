"""Files for other runtimes: ONNX, OpenVINO, LiteRT and Keras."""
