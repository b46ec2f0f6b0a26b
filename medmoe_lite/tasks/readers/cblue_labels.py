"""The label sets of CBLUE and PromptCBLUE, as their authors list them."""

from __future__ import annotations

ENTITIES = tuple("dis sym pro equ dru ite bod dep mic".split())
INTENTS = (
    "病情诊断", "病因分析", "治疗方案", "就医建议", "指标解读", "疾病表述", "后果表述",
    "注意事项", "功效作用", "医疗费用", "其他",
)  # fmt: skip
CATEGORIES = (
    "Disease", "Symptom", "Sign", "Pregnancy-related Activity", "Neoplasm Status",
    "Non-Neoplasm Disease Stage", "Allergy Intolerance", "Organ or Tissue Status",
    "Life Expectancy", "Oral related", "Pharmaceutical Substance or Drug", "Therapy or Surgery",
    "Device", "Nursing", "Diagnostic", "Laboratory Examinations", "Risk Assessment",
    "Receptor Status", "Age", "Special Patient Characteristic", "Literacy", "Gender", "Education",
    "Address", "Ethnicity", "Consent", "Enrollment in other studies", "Researcher Decision",
    "Capacity", "Ethical Audit", "Compliance with Protocol", "Addictive Behavior", "Bedtime",
    "Exercise", "Diet", "Alcohol Consumer", "Sexual related", "Smoking Status", "Blood Donation",
    "Encounter", "Disabilities", "Healthy", "Data Accessible", "Multiple",
)  # fmt: skip

UNLABELLED = ("refuse", "keep")  # what becomes of rows without a label

# PromptCBLUE: legal although it is in no row's choices; what its scorer makes of an empty answer.
OTHER = "非上述类型"
FIRST = {
    "CHIP-CTC": OTHER, "KUAKE-QIC": OTHER, "IMCS-V2-DAC": OTHER, "CHIP-STS": "是的",
    "KUAKE-IR": "相关", "KUAKE-QQR": "完全一致", "KUAKE-QTR": "完全不匹配或者没有参考价值",
}  # fmt: skip
SAME = {"相同": "是的", "不同": "不是"}
