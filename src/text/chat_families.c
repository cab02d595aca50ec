/* chat_families.c: how families of models mark reasoning and tool calls. */
#include "text/chat_reader.h"

#define THINK                                                                                                                              \
    { "<think>", "</think>", JT_MARK_REASON }
#define DROP(s)                                                                                                                            \
    { s, NULL, JT_MARK_DROP }

static const jt_reader_mark plain[] = {THINK, {0}};
static const jt_reader_mark hermes[] = {
    THINK, {"<tool_call>", "</tool_call>", JT_MARK_CALLS}, DROP("<|im_end|>"), DROP("<|endoftext|>"), {0}};
static const jt_reader_mark llama3[] = {
    THINK, {"<|python_tag|>", NULL, JT_MARK_CALLS}, DROP("<|eot_id|>"), DROP("<|eom_id|>"), DROP("<|end_of_text|>"), {0}};
static const jt_reader_mark mistral[] = {
    {"[THINK]", "[/THINK]", JT_MARK_REASON}, THINK, {"[TOOL_CALLS]", NULL, JT_MARK_CALLS}, DROP("</s>"), {0}};
static const jt_reader_mark deepseek[] = {
    THINK, {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", JT_MARK_CALLS}, DROP("<｜end▁of▁sentence｜>"), {0}};
static const jt_reader_mark harmony[] = {
    {"<|channel|>", NULL, JT_MARK_HEAD}, {"<|start|>", NULL, JT_MARK_HEAD}, DROP("<|end|>"), DROP("<|return|>"), DROP("<|call|>"), {0}};
static const jt_reader_mark command_r[] = {{"<|START_THINKING|>", "<|END_THINKING|>", JT_MARK_REASON},
                                           {"<|START_ACTION|>", "<|END_ACTION|>", JT_MARK_CALLS},
                                           {"Action: ```json\n", "```", JT_MARK_CALLS},
                                           {"Action:\n```json\n", "```", JT_MARK_CALLS},
                                           {"Action:```json\n", "```", JT_MARK_CALLS},
                                           DROP("<|START_RESPONSE|>"),
                                           DROP("<|END_RESPONSE|>"),
                                           DROP("<|START_TEXT|>"),
                                           DROP("<|END_TEXT|>"),
                                           DROP("<|END_OF_TURN_TOKEN|>"),
                                           {0}};
static const jt_reader_mark granite[] = {THINK,
                                         {"<tool_call>", "</tool_call>", JT_MARK_CALLS},
                                         {"<|tool_call|>", NULL, JT_MARK_CALLS},
                                         DROP("<response>"),
                                         DROP("</response>"),
                                         DROP("<|end_of_text|>"),
                                         {0}};
static const jt_reader_mark phi[] = {
    THINK, {"<|tool_call|>", "<|/tool_call|>", JT_MARK_CALLS}, DROP("<|end|>"), DROP("<|im_end|>"), DROP("<|endoftext|>"), {0}};
static const jt_reader_mark gemma[] = {THINK, {"```tool_call\n", "```", JT_MARK_CALLS}, DROP("<end_of_turn>"), DROP("<eos>"), {0}};
static const jt_reader_mark glm[] = {
    THINK, {"<tool_call>", "</tool_call>", JT_MARK_CALLS}, DROP("<|user|>"), DROP("<|observation|>"), DROP("<|endoftext|>"), {0}};
static const jt_reader_mark kimi[] = {{"◁think▷", "◁/think▷", JT_MARK_REASON},
                                      THINK,
                                      {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", JT_MARK_CALLS},
                                      DROP("<|im_end|>"),
                                      {0}};

const jt_reader_style jt_reader_families[] = {
    {"harmony", {"<|channel|>"}, harmony, false},
    {"kimi", {"<|tool_calls_section_begin|>", "<|im_middle|>"}, kimi, false},
    {"deepseek", {"<｜tool▁calls▁begin｜>", "<｜Assistant｜>"}, deepseek, false},
    {"command-r", {"<|START_OF_TURN_TOKEN|>"}, command_r, false},
    {"granite", {"<|start_of_role|>"}, granite, false},
    {"glm", {"<arg_key>", "[gMASK]"}, glm, false},
    {"mistral", {"[TOOL_CALLS]", "[INST]"}, mistral, false},
    {"llama3", {"<|python_tag|>", "<|start_header_id|>"}, llama3, true},
    {"phi", {"<|/tool_call|>", "<|im_sep|>", "<|end|>"}, phi, false},
    {"gemma", {"<start_of_turn>"}, gemma, false},
    {"hermes", {"<|im_start|>", "<tool_call>"}, hermes, false},
    {"plain", {""}, plain, false},
    {0},
};
