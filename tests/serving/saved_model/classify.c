/* Loads a SavedModel with TensorFlow's C API and classifies one image file:
   the loader that TF Serving uses, without Python. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>

static void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s: %s\n", what, TF_Message(status));
    exit(1);
  }
}

static TF_Output tensor_named(TF_Graph* graph, const char* name) {
  char operation[1024];
  const char* colon = strrchr(name, ':');
  size_t length = (size_t)(colon - name);
  memcpy(operation, name, length);
  operation[length] = 0;
  TF_Output output = {TF_GraphOperationByName(graph, operation), atoi(colon + 1)};
  if (output.oper == NULL) {
    fprintf(stderr, "no operation %s\n", operation);
    exit(1);
  }
  return output;
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: classify MODEL IMAGE INPUT PROBABILITIES VALID\n");
    return 2;
  }
  FILE* file = fopen(argv[2], "rb");
  if (file == NULL) return 2;
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  char* bytes = malloc(size);
  if (fread(bytes, 1, size, file) != size) return 2;
  fclose(file);

  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1,
                                                     graph, NULL, status);
  check(status, "load");

  int64_t shape[] = {1};
  TF_Tensor* input = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString* text = TF_TensorData(input);
  TF_TString_Init(text);
  TF_TString_Copy(text, bytes, size);

  TF_Output inputs[] = {tensor_named(graph, argv[3])};
  TF_Output outputs[] = {tensor_named(graph, argv[4]), tensor_named(graph, argv[5])};
  TF_Tensor* results[2] = {NULL, NULL};
  TF_SessionRun(session, NULL, inputs, &input, 1, outputs, results, 2, NULL, 0, NULL,
                status);
  check(status, "run");

  printf("%d\n", *(unsigned char*)TF_TensorData(results[1]));
  float* probabilities = TF_TensorData(results[0]);
  for (int64_t i = 0; i < TF_Dim(results[0], 1); i++) printf("%.9g\n", probabilities[i]);
  return 0;
}
