// SPDX-License-Identifier: Apache-2.0
// The names of Axolotl's keys, by what Eft does with them.

extension AxolotlKeys {
    /// Keys that decide what is done.
    static let read = words(
        """
        base_model revision_of_model base_model_config tokenizer_config model_type tokenizer_type load_in_4bit
        load_in_8bit bnb_config_kwargs reinit_weights special_tokens adapter lora_model_dir lora_r
        lora_alpha lora_dropout lora_target_modules lora_target_linear lora_rank_pattern
        lora_alpha_pattern peft_use_rslora peft_use_dora peft peft_init_lora_weights output_dir datasets test_datasets
        val_set_size sequence_len eval_sequence_len min_sample_len excess_length_strategy
        sample_packing sample_packing_sequentially curriculum_sampling train_on_inputs
        dataset_exact_deduplication shuffle_merged_datasets shuffle_before_merging_datasets
        micro_batch_size gradient_accumulation_steps batch_size num_epochs max_steps learning_rate
        lr_scheduler warmup_steps warmup_ratio cosine_min_lr_ratio cosine_constant_lr_ratio
        optimizer optim_args optim_target_modules weight_decay adam_beta1 adam_beta2 adam_beta3 adam_epsilon adam_epsilon2
        max_grad_norm bf16 bfloat16 fp16
        float16 float32 gradient_checkpointing activation_offloading seed logging_steps
        eval_strategy evaluation_strategy eval_steps evals_per_epoch eval_on_start save_strategy
        save_steps saves_per_epoch save_total_limit save_only_model resume_from_checkpoint
        auto_resume_from_checkpoints strict chat_template chat_template_jinja chat_template_kwargs
        pretraining_dataset model_config overrides_of_model_config max_bad_row_share
        eot_tokens rl rl_beta dpo_beta dpo_loss_type dpo_loss_weights dpo_label_smoothing
        dpo_norm_loss dpo_use_weighting rpo_alpha orpo_alpha simpo_gamma cpo_alpha
        kto_desirable_weight kto_undesirable_weight precompute_ref_log_probs lr_scheduler_kwargs
        lr_quadratic_warmup lr_div_factor loraplus_lr_ratio loraplus_lr_embedding embedding_lr
        embedding_lr_scale lr_groups label_smoothing_factor group_by_length neftune_noise_alpha
        noisy_embedding_alpha early_stopping_patience load_best_model_at_end
        loss_watchdog_threshold loss_watchdog_patience tokens added_tokens_overrides
        lora_modules_to_save unfrozen_parameters resize_token_embeddings_to_32x
        mean_resizing_embeddings lora_target_parameters peft_layers_to_transform
        peft_layers_pattern peft_trainable_token_indices use_tensorboard logging_dir html_report
        eval_causal_lm_metrics dataset_prepared_path reward_model process_reward_model num_labels trl
        center_rewards_coefficient qat lisa_n_layers lisa_step_interval
        lisa_layers_attribute relora relora_prune_ratio relora_prune_method jagged_restart_steps
        jagged_restart_warmup_steps jagged_restart_anneal_steps eval_max_new_tokens generate_samples
        num_generation_samples generation_max_new_tokens generation_temperature generation_top_p
        generation_top_k generation_do_sample generation_prompt_ratio
        """)

    /// Keys for what is done anyway, and those that concern nothing that Eft does.
    static let silent = words(
        """
        gptq
        save_safetensors axolotl_config_path is_preprocess merge_lora tokenizer_use_fast
        tokenizer_legacy default_system_message dataloader_drop_last lora_on_cpu low_cpu_mem_usage
        experimental_skip_move_to_device mean_resizing_embeddings pad_to_sequence_len
        pad_to_multiple_of eval_sample_packing gradient_checkpointing_kwargs
        tokenizer_save_jinja_files gradio_title gradio_share gradio_server_name gradio_server_port
        gradio_max_new_tokens gradio_temperature type_of_model debug
        is_falcon_derived_model is_llama_derived_model is_mistral_derived_model
        is_qwen_derived_model total_num_tokens total_supervised_tokens sample_packing_eff_est
        remove_unused_columns quantize_moe_experts streaming include_tokens_per_second include_tkps
        """)

    /// Keys of services to which transformers sends what a run logs.
    static let services = words(
        """
        use_wandb wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_mode
        wandb_log_model use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_run_name
        hf_mlflow_log_artifacts use_comet comet_api_key comet_workspace comet_project_name
        comet_experiment_key comet_mode comet_online comet_experiment_config use_trackio
        trackio_project_name trackio_run_name trackio_space_id use_otel_metrics otel_metrics_host
        otel_metrics_port use_swanlab swanlab_project swanlab_experiment_name swanlab_mode
        swanlab_description swanlab_workspace swanlab_api_key swanlab_log_model swanlab_web_host
        swanlab_api_host swanlab_lark_webhook_url swanlab_lark_secret swanlab_log_completions
        swanlab_completion_log_interval swanlab_completion_max_buffer
        """)

    /// Keys of other hardware, of services, of speed, and those that count only beside a key that is refused.
    static let noEffect = words(
        """
        flash_attn_rms_norm
        cls_model_config model_revision trust_remote_code tokenizer_use_mistral_common
        embeddings_skip_upcast gpu_memory_limit max_memory device_map device hub_model_id
        hub_strategy hub_revision hub_private_repo push_dataset_to_hub hf_use_auth_token
        dataset_num_proc dataset_processes dataset_keep_in_memory
        dataset_shard_num dataset_shard_idx skip_prepare_dataset dataloader_num_workers
        dataloader_prefetch_factor dataloader_pin_memory tf32 amp selective_checkpointing
        layer_offloading tiled_mlp tiled_mlp_num_shards chunked_cross_entropy
        chunked_cross_entropy_num_chunks gc_steps torch_compile torch_compile_backend
        torch_compile_mode plugins cut_cross_entropy liger_rope liger_rms_norm liger_glu_activation
        liger_layer_norm liger_fused_linear_cross_entropy lora_mlp_kernel lora_qkv_kernel
        lora_o_kernel lora_embedding_kernel attn_implementation flash_attention sdp_attention
        xformers_attention flex_attention sage_attention eager_attention flash_attn_cross_entropy
        flash_attn_fuse_mlp flash_attn_fuse_qkv fsdp fsdp_config fsdp_version
        fsdp_final_state_dict_type deepspeed ddp ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers
        dp_shard_size dp_replicate_size context_parallel_size sequence_parallel_degree
        tensor_parallel_size expert_parallel_size use_ray ray_run_name ray_num_workers
        resources_per_worker world_size local_rank sample_packing_group_size sample_packing_bin_size
        multipack_real_batches batch_flattening eval_batch_size
        auto_find_batch_size eval_table_size
        do_bench_eval bench_dataset
        profiler_steps profiler_steps_start
        qlora_sharded_model_loading peft_autocast_adapter_dtype
        peft_ensure_weight_tying vllm dynamic_checkpoint lm_eval_model lm_eval_tasks
        lm_eval_batch_size datasets_streaming_buffer
        merge_method quantization num_dataset_shards_to_save accelerator_config
        ddp_find_unused_parameters bench_split do_causal_lm_eval torch_empty_cache_steps
        gc_collect_steps sample_packing_mp_start_method pretrain_multipack_buffer_size
        pretrain_multipack_attn streaming_multipack_buffer_size pretraining_sample_concatenation
        flex_attn_compile_kwargs flash_optimum gemma4_hybrid_attn_impl large_head_attention
        flash_attn_d512 sdpa_varlen fused_attn_kernel experts_implementation ple_cpu_offload
        tiled_mlp_use_original_mlp llama4_linearized_experts deepcompile fp32_norms
        fp32_norm_classes heads_k_stride ring_attn_func torch_compile_options
        fp8_enable_fsdp_float8_all_gather preprocess_iterable processor_kwargs use_kernels torchdistx_path freeze_mm_modules
        image_size image_resize_algorithm role_boundaries max_prompt_len
        lm_eval_post_train hatchery
        expert_backend moe_grouped_backend moe_dequant_chunk_size moe_bnb_fast use_scattermoe
        use_sonicmoe use_dsv4_kernels use_glm_dsa_kernels dsv4_fp8_nonexpert_mode
        dsv4_fp8_lora_kernel dsv4_shared_mlp_lora_kernel dsv4_bf16_all dsv4_fp4_grouped_mode
        expert_parallel_backend expert_parallel_num_nvl_bytes expert_parallel_num_rdma_bytes
        expert_parallel_token_capacity expert_parallel_fallback_on_unsupported liger_rms_norm_gated
        liger_swiglu liger_cross_entropy liger_use_token_scaling liger_kernel_impl
        relora_cpu_offload dpo_use_liger_kernel
        dpo_padding_free dpo_use_logits_to_keep dpo_generate_during_eval
        kd_ce_alpha kd_alpha
        kd_temperature kd_beta kd_normalize_topk kd_online_server_base_url kd_online_topk
        kd_online_server kd_online_timeout kd_temperature_min nemo_gym_dir nemo_gym_auto_clone
        nemo_gym_config_paths nemo_gym_head_port nemo_gym_server_timeout nemo_gym_verify_timeout
        nemo_gym_run_timeout nemo_gym_datasets nemo_gym_auto_start nemo_gym_model_name
        nemo_gym_multi_turn nemo_gym_max_turns spectrum_model_name dion_lr
        dion_momentum dion_rank_fraction dion_rank_multiple_of qgalore_rank qgalore_update_proj_gap
        qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits qgalore_proj_group_size
        qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size save_compressed
        model_quantization_config
        model_quantization_config_kwargs gptq_groupsize gptq_model_v1 gptq_disable_exllama
        base_model_ignore_patterns full_finetune sample_packing_seq_len_multiplier nvfp4_merge_aware nvfp4_merge_aware_start_step
        """)

    private static let notYet = "not supported yet and left out"

    /// Keys that would make the result differ a little.
    static let notices: [(String, String)] =
        words(
            """
            metric_for_best_model greater_is_better save_first_step
            shrink_embeddings fp8 fp8_config gpt_layer_norm
            use_pose pose_split_on_token_ids pose_max_context_len pose_num_chunks scaling_softmax
            scaling_softmax_factor scaling_softmax_bias use_eaft eaft_alpha eaft_k
            fix_untrained_tokens grokfast_alpha grokfast_lamb nonexpert_quantization
            gemma4_fp8_nonexpert gemma4_nf4_nonexpert dense_mixer recipe llmcompressor
            """
        ).map { ($0, notYet) }
        + [
            (
                "lora_fan_in_fan_out",
                "without effect: how a model stores its linear layers is known, as PEFT finds too"
            )
        ]
        + words("is_multimodal processor_type").map {
            ($0, "only text is trained on; rows with images or sounds are left out as unusable")
        }

    /// Keys that would make the result another thing.
    static let refusals: [(String, String)] =
        words(
            """
            peft_layer_replication
            model_kwargs overrides_of_model_kwargs diffusion kd_trainer ebft trainer_cls mora
            nemo_gym_enabled spectrum_top_fraction use_onebitllms
            """
        ).map { ($0, "not supported yet; remove the key to train without it") }
        + words(
            """
            unsloth_cross_entropy_loss unsloth_lora_mlp unsloth_lora_qkv
            unsloth_lora_o unsloth_rms_norm unsloth_rope
            """
        ).map { ($0, "removed by Axolotl; remove the key") }
        + [
            ("max_packed_sequence_len", "removed by Axolotl; use sample_packing: true"),
            ("rope_scaling", "removed by Axolotl; set it in the model's config.json"),
            ("s2_attention", "removed by Axolotl"),
            ("relora_steps", "now called jagged_restart_steps, beside relora: true"),
            ("relora_warmup_steps", "now called jagged_restart_warmup_steps"),
            ("relora_anneal_steps", "now called jagged_restart_anneal_steps"),
        ]

    /// Keys that are truth values and nothing else, for `--key` and `--no-key` without a value.
    static let booleans = Set(
        words(
            """
            auto_find_batch_size auto_resume_from_checkpoints bfloat16 chunked_cross_entropy
            comet_online curriculum_sampling dataloader_drop_last dataloader_pin_memory
            dataset_exact_deduplication dataset_keep_in_memory ddp ddp_broadcast_buffers
            ddp_find_unused_parameters deepcompile do_bench_eval do_causal_lm_eval
            dpo_generate_during_eval dpo_norm_loss dpo_padding_free dpo_use_liger_kernel
            dpo_use_logits_to_keep dpo_use_weighting eager_attention embeddings_skip_upcast
            eval_sample_packing experimental_skip_move_to_device flash_attention
            flash_attn_cross_entropy flash_attn_d512 flash_attn_fuse_mlp flash_attn_rms_norm
            flash_optimum flex_attention float16 float32 fp16 fp32_norms fp8
            fp8_enable_fsdp_float8_all_gather freeze_mm_modules fused_attn_kernel
            gemma4_hybrid_attn_impl generate_samples generation_do_sample gptq gradio_share
            greater_is_better group_by_length hf_mlflow_log_artifacts hf_use_auth_token
            include_tkps include_tokens_per_second is_falcon_derived_model is_llama_derived_model
            is_mistral_derived_model is_preprocess is_qwen_derived_model layer_offloading
            llama4_linearized_experts load_best_model_at_end load_in_4bit load_in_8bit
            lora_embedding_kernel lora_fan_in_fan_out lora_mlp_kernel lora_o_kernel lora_on_cpu
            lora_qkv_kernel lora_target_linear low_cpu_mem_usage lr_quadratic_warmup
            mean_resizing_embeddings merge_lora multipack_real_batches pad_to_sequence_len
            peft_autocast_adapter_dtype peft_ensure_weight_tying peft_use_dora peft_use_rslora
            ple_cpu_offload precompute_ref_log_probs preprocess_iterable pretrain_multipack_attn
            pretraining_sample_concatenation process_reward_model qgalore_proj_quant
            qlora_sharded_model_loading quantize_moe_experts reinit_weights relora
            relora_cpu_offload remove_unused_columns resize_token_embeddings_to_32x reward_model
            s2_attention sage_attention sample_packing sample_packing_sequentially save_first_step
            save_only_model save_safetensors scaling_softmax sdp_attention sdpa_varlen
            shrink_embeddings shuffle_before_merging_datasets shuffle_merged_datasets
            skip_prepare_dataset streaming strict tiled_mlp tiled_mlp_use_original_mlp
            tokenizer_legacy tokenizer_save_jinja_files tokenizer_use_fast
            tokenizer_use_mistral_common train_on_inputs trust_remote_code use_comet use_eaft
            use_kernels use_mlflow use_onebitllms use_otel_metrics use_pose use_ray
            use_tensorboard html_report use_trackio use_wandb xformers_attention eval_on_start debug
            use_swanlab liger_rope liger_rms_norm liger_glu_activation liger_layer_norm
            liger_fused_linear_cross_entropy cut_cross_entropy
            """))

    private static func words(_ text: String) -> [String] {
        text.split { $0 == " " || $0 == "\n" }.map(String.init)
    }
}
