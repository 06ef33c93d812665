#!/usr/bin/env python3
"""KL divergence of formats and plans, of tq and of llama.cpp, from one 16-bit source; run.sh sets up what it needs.

Every row quantises the linears only; embeddings and head stay as the source has them. All are run by tq with fp32
activations (llama.cpp's files are made 16-bit first, which changes nothing), over the same tokens, against the
logits of the source. Writes results.json (every measurement) and table.md to WORK/NAME-of-the-model.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

import dithered

PEER = [sys.executable, str(pathlib.Path(__file__).parent.parent / "peers" / "llama_peer.py")]
PEER_FORMATS = ("Q3_K_S", "Q3_K_M", "Q4_0", "Q4_K_S", "Q4_K_M", "IQ4_XS")
# Formats of three and four bits that are compared with each other; those that tq does not have are left out.
FAMILIES = (("tq3", "tq4"), ("w7_3", "w7_4"))
SEED = 22  # of the dither
WITH_DATA = ", data"  # ends the names of rows that are converted with --effort data


def plan(most, **classes):
    formats = dict.fromkeys(("experts", "mlp", "attention", "output", "keys_values"), most)
    return {"tq_plan": 1, "formats": {**formats, "head": "keep", "embed": "keep", **classes}}


def plans(known):
    """Name -> plan file."""
    rows = {}
    for three, four in FAMILIES:
        if three not in known or four not in known:
            continue
        rows[three] = plan(three)
        rows[f"{three}, k v tq6"] = plan(three, keys_values="tq6")
        rows[f"{three}, k v tq6, o {four}"] = plan(three, keys_values="tq6", output=four)
        rows[f"{three}, k v tq6, attention {four}"] = plan(three, keys_values="tq6", output=four, attention=four)
        rows[four] = plan(four)
        rows[f"{four}, k v tq6"] = plan(four, keys_values="tq6")
        rows[f"{four}, k v tq6, o tq5"] = plan(four, keys_values="tq6", output="tq5")
    for name in ("tq5", "tq6", "tq8"):
        rows[name] = plan(name)
    rows["tq5, k v o tq6"] = plan("tq5", keys_values="tq6", output="tq6")
    return rows


class Study:
    def __init__(self, args):
        self.args = args
        self.folder = pathlib.Path(args.work) / pathlib.Path(args.model).stem
        self.folder.mkdir(parents=True, exist_ok=True)
        self.results_path = self.folder / "results.json"
        self.settings = {"model": pathlib.Path(args.model).name, "text": pathlib.Path(args.text).name,
                         "tokens": args.tokens, "ctx": args.ctx, "seed": SEED}  # fmt: skip
        self.results = {"settings": self.settings, "rows": []}
        if self.results_path.exists():
            self.results = json.loads(self.results_path.read_text())
            if self.results["settings"] != self.settings:
                raise SystemExit(f"{self.results_path}: was measured with other settings: {self.results['settings']}")

    def tq(self, *args):
        command = [self.args.tq, "--json", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)

    def eval(self, model, *args):
        return self.tq("eval", "kld", model, "--exact", "--device", self.args.device, *args)

    def reference(self):
        """The logits of draw 0, saved once."""
        path = self.folder / "reference"
        if not path.exists():
            self.eval(self.source(0), "--save-reference", path, "--text", self.args.text,
                      "--max-tokens", self.args.tokens, "--ctx", self.args.ctx)  # fmt: skip
        return path

    def source(self, draw):
        """The 16-bit file of a draw; one is kept at a time."""
        path = self.folder / f"source-{draw}.gguf"
        if not path.exists():
            for other in self.folder.glob("source-*.gguf"):
                other.unlink()
            part = path.with_suffix(".part")
            dithered.write(self.args.model, part, draw, SEED)
            part.rename(path)
        return path

    def measured(self, name, draw):
        return any(row["name"] == name and row["draw"] == draw for row in self.results["rows"])

    def add(self, name, draw, bits, model):
        reference = self.reference()
        result = self.eval(model, "--reference-logits", reference)
        row = {"name": name, "draw": draw, "bits": bits}
        row.update({key: result[key] for key in ("kld", "kld_se", "same_top1", "ppl_ratio", "tokens")})
        self.results["rows"].append(row)
        self.results_path.write_text(json.dumps(self.results, indent=1))
        print(f"draw {draw}: {name}: {bits:.3f} bits, KLD {row['kld']:.4f} +- {row['kld_se']:.4f}", flush=True)

    def add_plan(self, name, file, draw):
        data = ("--effort", "data", "--data", self.args.data, "--data-tokens", self.args.data_tokens)
        path = self.folder / "plan.json"
        path.write_text(json.dumps(file))
        result = self.folder / "converted"
        report = self.tq("convert", self.source(draw), result, "--plan", path, "--overwrite", "--no-resume",
                         *(data if name.endswith(WITH_DATA) else ()))  # fmt: skip
        rows = [row for row in report["classes"] if row["class"] in ("attention", "mlp", "experts")]
        bits = 8 * sum(row["bytes"] for row in rows) / sum(row["parameters"] for row in rows)
        self.add(name, draw, bits, result)

    def add_peer(self, kind, draw):
        quantised, plain = self.folder / "peer.gguf", self.folder / "peer-f16.gguf"
        for source, out, to in ((self.source(draw), quantised, kind), (quantised, plain, "F16")):
            subprocess.run([*PEER, "quantize", source, out, to, "--keep-tables"], check=True, stdout=subprocess.DEVNULL)
        bits = dithered.linear_bits(quantised)
        quantised.unlink()
        self.add(f"llama.cpp {kind}", draw, bits, plain)
        plain.unlink()

    def known_formats(self):
        """That this tq has."""
        source = self.source(0)
        return {one for pair in FAMILIES for one in pair
                if subprocess.run([self.args.tq, "--quiet", "convert", source, "--format", one, "--write-plan",
                                   self.folder / "plan.json"], capture_output=True).returncode == 0}  # fmt: skip

    def run(self):
        self.reference()
        wanted = plans(self.known_formats())
        if self.args.data:
            wanted.update({name + WITH_DATA: file for name, file in wanted.items()})
        peers = PEER_FORMATS if self.args.peers else ()
        if self.args.rows:
            only = set(self.args.rows.split(";"))
            if unknown := only - set(wanted) - set(PEER_FORMATS):
                raise SystemExit(f"no such rows: {unknown}; there are: {'; '.join(wanted)}")
            wanted = {name: file for name, file in wanted.items() if name in only}
            peers = [kind for kind in peers if kind in only]
        for draw in range(self.args.first_draw, self.args.first_draw + self.args.draws):
            if draw > 0 and not self.measured("the source", draw):  # the same function, or all of this is wrong
                self.add("the source", draw, 16, self.source(draw))
                if self.results["rows"][-1]["kld"] > 1e-5:
                    raise SystemExit("other signs changed the model")
            for name, file in wanted.items():
                if not self.measured(name, draw):
                    self.add_plan(name, file, draw)
            for kind in peers:
                if not self.measured(f"llama.cpp {kind}", draw):
                    self.add_peer(kind, draw)
        (self.folder / "table.md").write_text(table(self.results))
        print(table(self.results))


def spread(values):
    """Standard error of the mean, or nan for one."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def table(results):
    """Means over the draws. Ratios to tq3 are taken within a draw: most of the text's noise is in both."""
    by_name = {}
    for row in results["rows"]:
        by_name.setdefault(row["name"], {})[row["draw"]] = row
    by_name.pop("the source", None)
    base = by_name.get("tq3", {})
    lines = ["| linears | bits/weight | KLD | +- text | +- draws | of tq3 | same token | perplexity | draws |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, draws in sorted(by_name.items(), key=lambda item: statistics.mean(r["bits"] for r in item[1].values())):
        rows = list(draws.values())
        mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0] if key not in ("name", "draw")}
        ratios = [row["kld"] / base[draw]["kld"] for draw, row in draws.items() if draw in base]
        ratio = ""
        if ratios:
            ratio = f"{statistics.mean(ratios):.3f}" + (f" +- {spread(ratios):.3f}" if len(ratios) > 1 else "")
        of_draws = "" if len(rows) == 1 else f"{spread([row['kld'] for row in rows]):.4f}"
        lines.append(f"| {name} | {mean['bits']:.3f} | {mean['kld']:.4f} | {mean['kld_se']:.4f} | {of_draws} | {ratio} "
                     f"| {100 * mean['same_top1']:.1f} % | x {mean['ppl_ratio']:.3f} | {len(rows)} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="GGUF file of one of: " + ", ".join(dithered.ARCHITECTURES))
    parser.add_argument("text", help="UTF-8 text")
    parser.add_argument("--tq", default="build/release/tq")
    parser.add_argument("--work", default="build/plans")
    parser.add_argument("--tokens", type=int, default=4096, help="of the text, from its beginning")
    parser.add_argument("--ctx", type=int, default=512, help="tokens of a window")
    parser.add_argument("--draws", type=int, default=3, help="of signs")
    parser.add_argument("--first-draw", type=int, default=0, help="for draws that are measured side by side")
    parser.add_argument("--device", default="cpu", help="that computes logits")
    parser.add_argument("--rows", help="only these rows, separated by semicolons")
    parser.add_argument("--data", help="UTF-8 text, another than TEXT: every row of ours with --effort data, too")
    parser.add_argument("--data-tokens", type=int, default=16384)
    parser.add_argument("--peers", action="store_true", help="llama.cpp's formats, too")
    Study(parser.parse_args()).run()


if __name__ == "__main__":
    main()
