/* The commands there are, in the order that help shows them. */
#include "cli/command.h"

extern const jt_command jt_cmd_adapter_convert, jt_cmd_adapter_list, jt_cmd_adapter_merge, jt_cmd_batch, jt_cmd_bench, jt_cmd_chat,
    jt_cmd_classify, jt_cmd_convert, jt_cmd_embed, jt_cmd_rerank, jt_cmd_eval_compare, jt_cmd_eval_task, jt_cmd_reproduce,
    jt_cmd_eval_imatrix, jt_cmd_eval_kl, jt_cmd_eval_logits, jt_cmd_eval_ppl, jt_cmd_help, jt_cmd_info, jt_cmd_methods_check,
    jt_cmd_methods_list, jt_cmd_methods_try, jt_cmd_models_list, jt_cmd_models_remove, jt_cmd_pull, jt_cmd_run, jt_cmd_template,
    jt_cmd_tokenize, jt_cmd_tokenizer_train, jt_cmd_version;
extern const jt_command jt_cmd_inspect_diff, jt_cmd_inspect_html, jt_cmd_inspect_view, jt_cmd_replay;

const jt_command *const jt_commands[] = {
    &jt_cmd_run,
    &jt_cmd_chat,
    &jt_cmd_batch,
    &jt_cmd_replay,
    &jt_cmd_inspect_view,
    &jt_cmd_inspect_html,
    &jt_cmd_inspect_diff,
    &jt_cmd_embed,
    &jt_cmd_classify,
    &jt_cmd_rerank,
    &jt_cmd_tokenize,
    &jt_cmd_tokenizer_train,
    &jt_cmd_template,
    &jt_cmd_info,
    &jt_cmd_convert,
    &jt_cmd_adapter_list,
    &jt_cmd_adapter_merge,
    &jt_cmd_adapter_convert,
    &jt_cmd_eval_task,
    &jt_cmd_eval_compare,
    &jt_cmd_eval_ppl,
    &jt_cmd_eval_logits,
    &jt_cmd_eval_kl,
    &jt_cmd_eval_imatrix,
    &jt_cmd_reproduce,
    &jt_cmd_bench,
    &jt_cmd_methods_list,
    &jt_cmd_methods_check,
    &jt_cmd_methods_try,
    &jt_cmd_models_list,
    &jt_cmd_models_remove,
    &jt_cmd_pull,
    &jt_cmd_version,
    &jt_cmd_help,
    NULL,
};

const jt_command_group jt_command_groups[] = {
    {"adapter", "list LoRA adapters, merge them into models, convert them", NULL},
    {"eval", "measure a model, or compare two", "eval task"},
    {"inspect", "look at traces of runs, and compare them", NULL},
    {"methods", "describe what pipelines are made of, check and try them", "methods list"},
    {"models", "list and remove the models that are here", "models list"},
    {"tokenizer", "learn vocabularies", NULL},
    {NULL, NULL, NULL},
};
