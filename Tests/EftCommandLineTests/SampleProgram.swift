// SPDX-License-Identifier: Apache-2.0
// A program with every kind of option, for the tests.

import EftCommandLine

let sampleQuantize = CommandSpecification(
    name: "quantize", aliases: ["quant"], abstract: "Makes a quantized folder.",
    discussion: "Reads a model tensor by tensor.\nA run that was stopped goes on where it was.",
    examples: [Example("eft quantize -i model -o work -cf out -b 4", "Four bits a weight.")],
    options: [
        OptionSpecification(
            "-i", "--in-dir", kind: .value("DIR"), help: "Folder of the model.", isRequired: true,
            completion: .folder),
        OptionSpecification(
            "-b", "--bits", kind: .value("N"), help: "Bits a weight.", defaultText: "4"),
        OptionSpecification(
            "-hb", "--head-bits", kind: .value("N"), help: "Bits a weight of the output layer."),
        OptionSpecification(
            "--memory", kind: .value("SIZE"),
            help: "Memory that may be used: one size, or a list with one size a device."),
        OptionSpecification(
            "--dtype", kind: .value("TYPE"), help: "Type that's stored [x:y].",
            choices: ["bf16", "f16", "f32"]),
        OptionSpecification(
            "--adapter", kind: .repeated("DIR"), help: "Adapter.", completion: .folder),
        OptionSpecification(
            "-c", "--cal-file", kind: .value("FILE"), help: "Text.", completion: .file),
        OptionSpecification("--gpu-split", kind: .value("LIST"), help: "Sizes."),
        OptionSpecification(
            "--resume", kind: .invertibleFlag, help: "Go on where a run was stopped.",
            defaultText: "on"),
        OptionSpecification("--no-cache", help: "Leave the cache alone."),
        OptionSpecification("--json", help: "Print one JSON object."),
        OptionSpecification("-t", kind: .value("N"), help: "Tokens."),
    ],
    arguments: [
        ArgumentSpecification("EXTRA", count: .any, help: "More files.", completion: .file)
    ])

let sampleTrain = CommandSpecification(
    name: "train", abstract: "Trains an adapter or a model.",
    options: [OptionSpecification("--memory", kind: .value("SIZE"), help: "Memory.")],
    arguments: [ArgumentSpecification("CONFIG", help: "A YAML file.")],
    unknownOptions: .passedThrough(booleanKeys: ["load_in_4bit", "bf16"]))

let sampleProgram = ProgramSpecification(
    name: "eft", version: "1.2", abstract: "fine-tunes and runs language models in little memory.",
    commands: [sampleTrain, sampleQuantize],
    examples: [Example("eft train config.yml", "Trains what the file says.")],
    date: "2026-01-31")
