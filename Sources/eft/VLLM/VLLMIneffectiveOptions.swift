// SPDX-License-Identifier: Apache-2.0
// Options of `vllm serve`, of this and earlier releases, that change nothing here.

extension IneffectiveOption {
    /// Of vLLM. What would change answers or who may use the server is not among them: such options work or are errors.
    static let vllm = vllmGroups.flatMap(\.self)

    private static let vllmGroups: [[IneffectiveOption]] = [
        group(
            reason: "HF_HOME says where the cache is, HF_TOKEN gives a token",
            values: [
                "--code-revision", "--tokenizer-revision", "--download-dir",
                "--hf-token", "--ignore-patterns",
            ]),
        group(
            reason: "no code of models is run",
            flags: ["--trust-remote-code"],
            values: [
                "--model-impl", "--config-format", "--worker-cls", "--worker-extension-cls",
                "--scheduler-cls", "--reasoning-parser-plugin", "--tool-parser-plugin",
            ]),
        group(
            reason: "forms of weights are known by the model's files",
            flags: ["--allow-deprecated-quantization"]),
        group(
            reason: "there is one tokenizer implementation",
            values: [
                "--tokenizer-mode", "--tokenizer-pool-size", "--tokenizer-pool-type",
                "--tokenizer-pool-extra-config", "--renderer-num-workers",
            ]),
        group(
            reason: "kernels are chosen for the processor, nothing is compiled or captured",
            flags: [
                "--enforce-eager", "--disable-cascade-attn", "--disable-custom-all-reduce",
                "--enable-flashinfer-autotune", "--monokernel", "--use-fp64-gumbel",
                "--enable-layerwise-nvtx-tracing", "--jit-monitor-verbose", "-O0", "-O1", "-O2",
                "-O3",
            ],
            values: [
                "--max-seq-len-to-capture", "--max-context-len-to-capture",
                "--max-cudagraph-capture-size", "--compilation-config -cc",
                "--attention-config -ac", "--attention-backend", "--kernel-config",
                "--moe-backend", "--linear-backend", "--sparse-indexer-topk-backend",
                "--ir-op-priority", "--optimization-level -O", "--performance-mode",
                "--gdn-prefill-backend", "--kda-prefill-backend", "--kda-decode-backend",
                "--jit-monitor-mode", "--numa-bind-nodes", "--numa-bind-cpus", "--device",
            ],
            lists: ["--cudagraph-capture-sizes"]),
        group(
            reason: "weights are read ahead by one thread, whatever their files",
            flags: ["--use-tqdm-on-load"],
            values: [
                "--max-parallel-loading-workers", "--safetensors-load-strategy",
                "--safetensors-prefetch-num-threads", "--safetensors-prefetch-block-size",
                "--model-loader-extra-config", "--pt-load-map-location",
            ]),
        group(
            reason: "blocks have 16 tokens and are found by what they hold",
            flags: ["--use-v2-block-manager"],
            values: [
                "--block-size", "--prefix-caching-hash-algo", "--prefix-cache-retention-interval",
                "--prefix-match-unit", "--kv-cache-dtype-skip-layers",
            ]),
        group(
            reason: "a preempted request reads its tokens again, nothing is swapped out",
            values: [
                "--swap-space", "--preemption-mode", "--kv-offloading-size",
                "--kv-offloading-backend",
            ]),
        group(
            reason: "layers that do not fit --memory are streamed from disk",
            values: [
                "--offload-backend", "--offload-group-size", "--offload-num-in-group",
                "--offload-prefetch-step",
            ], lists: ["--cpu-offload-params", "--offload-params"]),
        group(
            reason: "prompts are read in parts of --max-num-batched-tokens, each admitted whole",
            flags: [
                "--enable-chunked-prefill", "--scheduler-reserve-full-isl", "--async-scheduling",
                "--disable-hybrid-kv-cache-manager", "--disable-async-output-proc",
                "--long-prefill-token-threshold-adaptive", "--multi-step-stream-outputs",
            ],
            values: [
                "--max-num-partial-prefills", "--max-long-partial-prefills",
                "--max-num-scheduled-tokens", "--max-num-active-seqs", "--num-scheduler-steps",
                "--num-lookahead-slots", "--scheduler-delay-factor", "--watermark",
                "--prefill-schedule-interval", "--stream-interval",
            ]),
        group(
            reason: "one process serves all requests",
            flags: [
                "--data-parallel-hybrid-lb -dph", "--data-parallel-external-lb -dpe",
                "--data-parallel-multi-port-external-lb -dpm", "--enable-expert-parallel -ep",
                "--enable-dbo", "--enable-eplb", "--enable-elastic-ep", "--enable-hc-sp",
                "--enable-ep-weight-filter", "--enable-batch-sharded-sampling",
                "--enable-shm-tensor-arena", "--disable-nccl-for-dp-synchronization",
                "--ray-workers-use-nsight", "--numa-bind", "--disable-frontend-multiprocessing",
                "--enable-fault-tolerance", "--dcp-q-replicate", "--enable-nccl-comm-suspend",
                "--aggregate-engine-logging", "--worker-use-ray", "--engine-use-ray",
            ],
            values: [
                "--distributed-executor-backend", "--nnodes -n", "--node-rank -r",
                "--master-addr", "--master-port", "--distributed-timeout-seconds",
                "--cpu-distributed-timeout-seconds", "--api-server-count -asc",
                "--data-parallel-size -dp", "--data-parallel-rank -dpn",
                "--data-parallel-start-rank -dpr", "--data-parallel-size-local -dpl",
                "--data-parallel-address -dpa", "--data-parallel-rpc-port -dpp",
                "--data-parallel-backend -dpb", "--data-parallel-supervisor-port",
                "--decode-context-parallel-size -dcp", "--prefill-context-parallel-size -pcp",
                "--dcp-comm-backend", "--dcp-kv-cache-interleave-size",
                "--cp-kv-cache-interleave-size", "--all2all-backend", "--ubatch-size",
                "--elastic-ep-max-dp-size", "--dbo-decode-token-threshold",
                "--dbo-prefill-token-threshold", "--dp-sync-interval", "--eplb-config",
                "--expert-placement-strategy", "--fault-tolerance-config",
                "--dp-supervisor-probe-interval-s", "--dp-supervisor-probe-timeout-s",
                "--dp-supervisor-probe-failure-threshold", "--weight-cache-socket-dir",
                "--weight-cache-master-port", "--weight-cache-draft-master-port",
                "--weight-cache-health-host", "--weight-cache-health-port",
            ], lists: ["--device-ids"]),
        group(
            reason: "pictures, sound and video are not read",
            flags: [
                "--disable-mm-preprocessor-cache", "--disable-chunked-mm-input",
                "--enable-mm-embeds", "--language-model-only", "--interleave-mm-strings",
                "--skip-mm-profiling", "--mm-encoder-only", "--mm-device-do-normalize",
                "--trust-request-mm-kwargs", "--enable-tower-connector-lora",
            ],
            values: [
                "--limit-mm-per-prompt", "--mm-processor-kwargs", "--media-io-kwargs",
                "--allowed-local-media-path", "--mm-processor-cache-gb",
                "--mm-processor-cache-type", "--mm-hasher-algorithm",
                "--mm-shm-cache-max-object-size-mb", "--mm-encoder-tp-mode",
                "--mm-encoder-attn-backend", "--mm-encoder-attn-dtype",
                "--mm-encoder-fp8-scale-path", "--mm-encoder-fp8-scale-save-path",
                "--mm-encoder-fp8-scale-save-margin", "--video-pruning-rate",
                "--video-pruning-method", "--mm-tensor-ipc", "--mm-processor-device",
                "--mm-ipc-gpu-memory-gb", "--default-mm-loras", "--ec-transfer-config",
                "--ec-manager-config",
            ], lists: ["--allowed-media-domains"]),
        group(
            reason: "supported models have attention layers only",
            flags: [
                "--enable-mamba-cache-stochastic-rounding",
                "--enable-mamba-shared-prefix-checkpoint", "--use-replayssm",
                "--swa-bounded-replay", "--kv-sharing-fast-prefill", "--disable-sliding-window",
            ],
            values: [
                "--mamba-backend", "--mamba-cache-dtype", "--mamba-ssm-cache-dtype",
                "--mamba-block-size", "--mamba-cache-mode", "--mamba-cache-philox-rounds",
                "--mamba-ssu-algorithm", "--replayssm-buffer-len", "--diffusion-config -dc",
                "--engram-config",
            ]),
        group(
            reason: "adapters take the memory of their own ranks, in 32 bits",
            flags: [
                "--fully-sharded-loras", "--enable-lora-bias", "--specialize-active-lora",
                "--enable-mixed-moe-lora-format", "--enable-moe-shared-loras",
            ],
            values: [
                "--max-cpu-loras", "--lora-dtype", "--lora-extra-vocab-size",
                "--long-lora-scaling-factors", "--max-lora-cls-labels",
            ], lists: ["--lora-target-modules"]),
        group(
            reason: "constraints have one implementation, enforced while sampling",
            values: [
                "--guided-decoding-backend", "--structured-outputs-config",
                "--logits-processor-pattern", "--tool-strict-level",
            ]),
        group(
            reason: "the server always does it",
            flags: [
                "--enable-prompt-tokens-details", "--enable-request-id-headers",
                "--enable-server-load-tracking", "--enable-tokenizer-info-endpoint",
                "--kv-cache-metrics", "--enable-auto-tool-choice",
            ], values: ["--kv-cache-metrics-sample"]),
        group(
            reason: "log lines are those of --quiet and --access-log; /metrics has the numbers",
            flags: [
                "--disable-log-stats", "--disable-log-requests", "--enable-log-requests",
                "--enable-log-outputs", "--enable-log-deltas", "--log-error-stack",
                "--enable-logging-iteration-details", "--enable-mfu-metrics",
                "--cudagraph-metrics", "--fail-on-environ-validation",
                "--enable-per-request-metrics",
            ],
            values: [
                "--uvicorn-log-level", "--log-level", "--log-config-file", "--logging-config",
                "--max-log-len", "--disable-access-log-for-endpoints",
                "--show-hidden-metrics-for-version", "--otlp-traces-endpoint",
                "--collect-detailed-traces", "--per-request-spec-decode-metrics",
                "--custom-histogram-buckets", "--profiler-config", "--watchdog-config",
            ]),
        group(
            reason: "there is no such page or route",
            flags: [
                "--disable-fastapi-docs", "--enable-offline-docs", "--enable-scale-out",
                "--enable-sleep-mode", "--sleep-mode-offload-cudagraph",
                "--enable-cumem-allocator", "--enable-flash-late-interaction",
                "--enable-return-routed-experts", "--return-sampling-mask",
                "--enable-trace-replay", "--enable-prompt-embeds", "--cohere-is-reasoning-model",
            ],
            values: [
                "--root-path", "--sleep-mode-backend", "--cohere-format",
                "--anthropic-disabled-thinking-effort", "--kv-transfer-config",
                "--kv-events-config", "--weight-transfer-config", "--aux-output-config",
                "--additional-config", "--fingerprint-mode", "--fingerprint-value",
                "--tool-server",
            ], lists: ["--sleep-preserve-parameter-names"]),
        group(
            reason: "headers and connections have bounds of their own",
            flags: ["--enable-ssl-refresh"],
            values: ["--h11-max-incomplete-event-size", "--h11-max-header-count"]),
        group(
            reason: "pages of --allowed-origins may send what the routes take",
            flags: ["--allow-credentials"],
            values: ["--allowed-methods", "--allowed-headers"]),
        group(
            reason: "drafts count only when they equal what is sampled",
            flags: ["--disable-logprobs-during-spec-decoding"],
            values: [
                "--spec-decoding-acceptance-method", "--ngram-prompt-lookup-max",
                "--ngram-prompt-lookup-min", "--speculative-disable-by-batch-size",
                "--speculative-max-model-len", "--speculative-model-quantization",
                "--speculative-draft-tensor-parallel-size",
            ]),
        group(
            reason: "one server generates text and answers embeddings",
            values: [
                "--task", "--runner", "--convert", "--pooler-config", "--override-pooler-config",
            ]
        ),
    ]
}
