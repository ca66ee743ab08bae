// The same request for each kind of client: curl, Python, tritonclient, TensorFlow Serving, TorchServe.

const NUMPY = {
  FP64: "float64", FP32: "float32", FP16: "float16", INT64: "int64", INT32: "int32", INT16: "int16", INT8: "int8",
  UINT64: "uint64", UINT32: "uint32", UINT16: "uint16", UINT8: "uint8", BOOL: "bool", BYTES: "object",
};
const text = value => JSON.stringify(value);
const shell = value => `'${String(value).replaceAll("'", "'\\''")}'`;

export function snippets(asked) {
  const all = [["curl", curl(asked)], ["Python", python(asked)], ["tritonclient, HTTP", triton(asked)]];
  if (asked.grpc) all.push(["tritonclient, gRPC", tritonGrpc(asked)]);
  all.push(["TF Serving REST", tfserving(asked)], ["TorchServe", torchserve(asked)]);
  return all;
}

const FILES = { image: ["photo.jpg", "image/jpeg"], audio: ["sound.wav", "audio/wav"], text: ["text.txt", "text/plain"] };

function whole({ model }) {
  return model.takes.kind || model.takes.files;
}

function file({ model }) {
  return FILES[model.takes.kind]?.[0] ?? "sample.bin";
}

function kind({ model }) {
  return FILES[model.takes.kind]?.[1] ?? "application/octet-stream";
}

// What is sent: an item under its name, or every input.
function sent({ model }) {
  return model.takes.kind ? [{ name: model.takes.name, datatype: "BYTES", shape: [1] }] : model.takes.inputs;
}

function oip({ origin, model, version }) {
  return `${origin}/v2/models/${encodeURIComponent(model.name)}${version ? `/versions/${encodeURIComponent(version)}` : ""}/infer`;
}

// The token itself is never shown: people copy these into tickets.
const shellToken = asked => asked.token ? ` \\\n  -H "Authorization: Bearer $TOKEN"` : "";
const pythonHeaders = (asked, ...others) => {
  const all = [...others, ...(asked.token ? ['"Authorization": f"Bearer {token}"'] : [])];
  return all.length ? `, headers={${all.join(", ")}}` : "";
};

function curl(asked) {
  const what = whole(asked)
    ? `-H 'Content-Type: ${kind(asked)}' --data-binary @${file(asked)}`
    : `-H 'Content-Type: application/json' \\\n  -d ${shell(asked.example)}`;
  return `curl ${shell(oip(asked))} \\\n  ${what}${shellToken(asked)}`;
}

function python(asked) {
  const body = whole(asked)
    ? `content=open("${file(asked)}", "rb").read()${pythonHeaders(asked, `"Content-Type": "${kind(asked)}"`)}`
    : `json=request${pythonHeaders(asked)}`;
  const request = whole(asked) ? "" : `request = ${pythonic(asked.example)}\n`;
  return `import httpx  # requests takes the same, with data= for content=\n\n${request}answer = httpx.post(${text(oip(asked))}, ${body})\n` +
    `answer.raise_for_status()\nfor output in answer.json()["outputs"]:\n    print(output["name"], output["data"])`;
}

const pythonic = json => json.replaceAll(/\bfalse\b/g, "False");

function feeds(asked, client) {
  const lines = [];
  sent(asked).forEach(({ name, datatype, shape }, index) => {
    const sizes = shape.map(size => Math.max(size, 1));
    const value = whole(asked)
      ? `np.array([open("${file(asked)}", "rb").read()], dtype=object)`
      : datatype === "BYTES" ? `np.full(${text(sizes)}, b"text", dtype=object)` : `np.zeros(${text(sizes)}, np.${NUMPY[datatype] ?? "float32"})`;
    const sent = whole(asked) ? "BYTES" : datatype;
    lines.push(`x${index} = ${value}`, `input${index} = ${client}.InferInput(${text(name)}, x${index}.shape, "${sent}")`,
      `input${index}.set_data_from_numpy(x${index})`);
  });
  const names = sent(asked).map((_, index) => `input${index}`).join(", ");
  const version = asked.version ? `, model_version=${text(asked.version)}` : "";
  const outputs = whole(asked) ? `print(answer.as_numpy("label"), answer.as_numpy("probability"))` : "print(answer.get_response())";
  return [lines.join("\n"), `${text(asked.model.name)}, [${names}]${version}`, outputs];
}

function triton(asked) {
  const [lines, call, print] = feeds(asked, "http");
  const secure = asked.secure ? ", ssl=True" : "";
  return `import numpy as np\nimport tritonclient.http as http\n\n${lines}\n` +
    `client = http.InferenceServerClient(${text(asked.origin.replace(/^https?:\/\//, ""))}${secure})\n` +
    `answer = client.infer(${call}${pythonHeaders(asked)})\n${print}`;
}

function tritonGrpc(asked) {
  const [lines, call, print] = feeds(asked, "grpc");
  const secure = asked.secure ? ", ssl=True" : "";
  const headers = asked.token ? ', headers={"authorization": f"Bearer {token}"}' : "";
  return `import numpy as np\nimport tritonclient.grpc as grpc\n\n${lines}\n` +
    `client = grpc.InferenceServerClient(${text(`${asked.host}:${asked.grpc}`)}${secure})\n` +
    `answer = client.infer(${call}${headers})\n${print}`;
}

// TensorFlow Serving's column form: every input whole, under its name.
function tfserving(asked) {
  const { origin, model, version } = asked;
  const url = `${origin}/v1/models/${encodeURIComponent(model.name)}${version ? `/versions/${encodeURIComponent(version)}` : ""}:predict`;
  if (whole(asked)) {
    return `echo '{"instances": [{"b64": "'$(base64 -w0 ${file(asked)})'"}]}' |\n` +
      `curl ${shell(url)} -H 'Content-Type: application/json' -d @-${shellToken(asked)}`;
  }
  const columns = Object.fromEntries(JSON.parse(asked.example).inputs.map(({ name, shape, data }) => [name, nested(data, shape)]));
  return `curl ${shell(url)} -H 'Content-Type: application/json' \\\n  -d ${shell(text({ inputs: columns }))}${shellToken(asked)}`;
}

function torchserve(asked) {
  const { origin, model, version } = asked;
  const url = `${origin}/predictions/${encodeURIComponent(model.name)}${version ? `/${encodeURIComponent(version)}` : ""}`;
  if (whole(asked)) return `curl ${shell(url)} -T ${file(asked)}${shellToken(asked)}`;
  const inputs = JSON.parse(asked.example).inputs.map(({ name, shape, data }) => [name, nested(data, shape)]);
  const data = inputs.length === 1 ? inputs[0][1] : Object.fromEntries(inputs);
  return `curl ${shell(url)} -H 'Content-Type: application/json' \\\n  -d ${shell(text({ data }))}${shellToken(asked)}`;
}

function nested(data, shape) {
  if (shape.length <= 1 || data.length % shape[0]) return data;
  const step = data.length / shape[0];
  return Array.from({ length: shape[0] }, (_, index) => nested(data.slice(index * step, (index + 1) * step), shape.slice(1)));
}
