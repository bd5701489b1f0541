// SPDX-License-Identifier: Apache-2.0
// The keys of Axolotl's configurations, and what Eft does with each.
import EftConfig

/// What is done with each key that Axolotl knows.
///
/// Keys that only steer other hardware, other programs or speed are taken in silence. Keys that would change what comes
/// out are either refused, when the result would be another thing, or noted, when it would differ a little.
enum AxolotlKeys {
    /// What is done with a key that asks for something.
    enum Treatment {
        case read
        case silent
        /// Accepted with a line that says what happens instead.
        case notice(String)
        /// An error that says what to do.
        case refuse(String)
    }

    /// All known keys.
    static let all: [String: Treatment] = {
        var table: [String: Treatment] = [:]
        for key in read { table[key] = .read }
        for key in silent { table[key] = .silent }
        for (key, text) in notices { table[key] = .notice(text) }
        for (key, text) in refusals { table[key] = .refuse(text) }
        return table
    }()

    private static let read = words(
        """
        base_model base_model_config tokenizer_config model_type tokenizer_type load_in_4bit load_in_8bit
        bnb_config_kwargs reinit_weights special_tokens adapter lora_model_dir lora_r lora_alpha lora_dropout
        lora_target_modules lora_target_linear lora_rank_pattern lora_alpha_pattern peft_use_rslora
        peft_init_lora_weights output_dir datasets test_datasets val_set_size sequence_len eval_sequence_len
        min_sample_len excess_length_strategy sample_packing train_on_inputs dataset_exact_deduplication
        shuffle_merged_datasets micro_batch_size gradient_accumulation_steps batch_size num_epochs max_steps
        learning_rate lr_scheduler warmup_steps warmup_ratio cosine_min_lr_ratio cosine_constant_lr_ratio
        optimizer weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 bfloat16 fp16 float16
        float32 gradient_checkpointing activation_offloading seed logging_steps eval_strategy
        evaluation_strategy eval_steps evals_per_epoch eval_on_start save_strategy save_steps saves_per_epoch
        save_total_limit resume_from_checkpoint auto_resume_from_checkpoints strict
        """)

    private static let silent = words(
        """
        cls_model_config model_revision revision_of_model trust_remote_code tokenizer_use_fast tokenizer_legacy
        tokenizer_use_mistral_common tokenizer_save_jinja_files mean_resizing_embeddings
        embeddings_skip_upcast gpu_memory_limit max_memory device_map low_cpu_mem_usage lora_on_cpu device
        experimental_skip_move_to_device save_safetensors hub_model_id hub_strategy hub_revision
        hub_private_repo push_dataset_to_hub hf_use_auth_token dataset_prepared_path dataset_num_proc
        dataset_processes dataset_keep_in_memory dataset_shard_num dataset_shard_idx skip_prepare_dataset
        dataloader_num_workers dataloader_prefetch_factor dataloader_pin_memory dataloader_drop_last tf32 amp
        gradient_checkpointing_kwargs selective_checkpointing layer_offloading tiled_mlp tiled_mlp_num_shards
        chunked_cross_entropy chunked_cross_entropy_num_chunks gc_steps torch_compile torch_compile_backend
        torch_compile_mode plugins cut_cross_entropy liger_rope liger_rms_norm liger_glu_activation
        liger_layer_norm liger_fused_linear_cross_entropy lora_mlp_kernel lora_qkv_kernel lora_o_kernel
        lora_embedding_kernel attn_implementation flash_attention sdp_attention xformers_attention
        flex_attention sage_attention eager_attention flash_attn_cross_entropy flash_attn_fuse_mlp
        flash_attn_fuse_qkv fsdp fsdp_config fsdp_version fsdp_final_state_dict_type deepspeed ddp
        ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers dp_shard_size dp_replicate_size
        context_parallel_size sequence_parallel_degree tensor_parallel_size expert_parallel_size
        use_ray ray_run_name ray_num_workers resources_per_worker world_size local_rank
        eval_sample_packing pad_to_sequence_len sample_packing_group_size sample_packing_bin_size
        sample_packing_sequentially multipack_real_batches batch_flattening eval_batch_size
        auto_find_batch_size eval_table_size eval_max_new_tokens eval_causal_lm_metrics
        include_tokens_per_second include_tkps do_bench_eval bench_dataset save_only_model
        wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_mode wandb_log_model
        use_wandb use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts
        use_comet comet_api_key comet_workspace comet_project_name comet_experiment_key comet_mode comet_online
        comet_experiment_config use_tensorboard use_trackio trackio_project_name trackio_run_name
        trackio_space_id use_otel_metrics otel_metrics_host otel_metrics_port use_swanlab swanlab_project
        swanlab_experiment_name swanlab_mode profiler_steps profiler_steps_start loss_watchdog_threshold
        loss_watchdog_patience axolotl_config_path chat_template chat_template_jinja chat_template_kwargs
        default_system_message eot_tokens qlora_sharded_model_loading peft_autocast_adapter_dtype
        peft_ensure_weight_tying debug vllm dynamic_checkpoint lm_eval_model lm_eval_tasks lm_eval_batch_size
        gradio_title gradio_share gradio_server_name gradio_server_port gradio_max_new_tokens
        gradio_temperature datasets_streaming_buffer generate_samples generation_max_new_tokens
        merge_method quantization
        """)

    private static let notYet = "not supported yet and left out"

    private static let notices: [(String, String)] =
        words(
            """
            neftune_noise_alpha noisy_embedding_alpha loraplus_lr_ratio loraplus_lr_embedding embedding_lr
            embedding_lr_scale lr_groups lr_scheduler_kwargs lr_quadratic_warmup optim_args optim_target_modules
            label_smoothing_factor group_by_length curriculum_sampling shuffle_before_merging_datasets
            early_stopping_patience load_best_model_at_end metric_for_best_model greater_is_better
            save_first_step resize_token_embeddings_to_32x shrink_embeddings jagged_restart_steps
            jagged_restart_warmup_steps jagged_restart_anneal_steps fp8 fp8_config gpt_layer_norm
            """
        ).map { ($0, notYet) }

    private static let refusals: [(String, String)] =
        words(
            """
            rl reward_model process_reward_model pretraining_dataset streaming peft_use_dora peft
            lora_modules_to_save lora_target_parameters lora_fan_in_fan_out peft_layers_to_transform
            peft_layers_pattern peft_layer_replication peft_trainable_token_indices relora quantize_moe_experts
            unfrozen_parameters lisa_n_layers lisa_step_interval lisa_layers_attribute qat tokens
            added_tokens_overrides model_config overrides_of_model_config model_kwargs
            overrides_of_model_kwargs is_multimodal processor_type diffusion trl kd_trainer
            """
        ).map { ($0, "not supported yet; remove the key to train without it") }
        + [
            ("max_packed_sequence_len", "removed by Axolotl; use sample_packing: true"),
            ("rope_scaling", "removed by Axolotl; set it in the model's config.json"),
            ("s2_attention", "removed by Axolotl"),
            ("flash_attn_rms_norm", "removed by Axolotl; remove the key"),
            ("unsloth_cross_entropy_loss", "removed by Axolotl; remove the key"),
            ("unsloth_lora_mlp", "removed by Axolotl; remove the key"),
            ("unsloth_lora_qkv", "removed by Axolotl; remove the key"),
            ("unsloth_lora_o", "removed by Axolotl; remove the key"),
            ("unsloth_rms_norm", "removed by Axolotl; remove the key"),
            ("unsloth_rope", "removed by Axolotl; remove the key"),
        ]

    private static func words(_ text: String) -> [String] {
        text.split { $0 == " " || $0 == "\n" }.map(String.init)
    }

    /// Keys that are truth values and nothing else, for `--key` and `--no-key` without a value.
    static let booleans = Set(
        words(
            """
            load_in_4bit load_in_8bit reinit_weights lora_target_linear peft_use_rslora sample_packing
            eval_sample_packing pad_to_sequence_len train_on_inputs dataset_exact_deduplication
            shuffle_merged_datasets float32 eval_on_start auto_resume_from_checkpoints strict flash_attention
            """))

    // MARK: Checking

    /// Lines for keys that are unknown or without effect.
    /// - Throws: `ConfigError` for keys that ask for what Eft does not have.
    static func check(_ config: ConfigCursor) throws(ConfigError) -> [String] {
        var lines = try config.unknownKeys(known: all.keys.sorted()).map { "\($0); it is ignored" }
        for (key, value) in try config.entries() where value.asksForSomething {
            switch all[key] {
            case .notice(let text): lines.append("\(value.error(.badValue, text))")
            case .refuse(let text): throw value.error(.badValue, text)
            default: break
            }
        }
        return lines
    }
}
