"""Quiz of notebook 08. Numbers are computed in tests/test_lab08.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "8.q1",
        "A head has learned nothing and gives every one of 3 classes the same probability. What is"
        " its cross entropy?",
        (
            Choice("0.333", "That is the probability. The loss is minus its logarithm."),
            Choice(
                "1.099",
                "Minus the logarithm of 1/3, which is log 3. A loss that starts far above it says"
                " that the head begins by being sure.",
                right=True,
            ),
            Choice("1.585", "That is log 3 in bits; PyTorch takes the natural logarithm."),
            Choice("0", "Zero is reached only by a head that is right and quite sure."),
        ),
        number=1.099,
    ),
    Question(
        "8.q2",
        "What is the difference between fine-tuning and instruction tuning?",
        (
            Choice(
                "Instruction tuning is fine-tuning on instructions and answers in text.",
                "Both move weights. One aims at a task with its own loss, such as a class; the"
                " other at doing in words what is asked. ECI puts the first beside the second.",
                right=True,
            ),
            Choice(
                "Fine-tuning moves weights, instruction tuning only changes the prompt.",
                "That is prompting. Instruction tuning trains, with gradients, on texts.",
            ),
            Choice(
                "Instruction tuning needs LoRA, fine-tuning does not.",
                "LoRA says which numbers move. It serves either of the two.",
            ),
        ),
    ),
    Question(
        "8.q3",
        "In Llama-2-13b the head's input has the dimensions [b, s, 5120]. What is 5120?",
        (
            Choice(
                "The numbers that describe one token after the last layer.",
                "b is the batch, s the tokens of a text. Pooling takes s away: [b, 5120].",
                right=True,
            ),
            Choice("The tokens in the longest text.", "That is s, and it differs by batch."),
            Choice("The words of the vocabulary.", "Those are the logits of the other head."),
        ),
    ),
    Question(
        "8.q4",
        "A head is right in 100 % of the validation texts, each of which holds its answer. What do"
        " you know about its labels in real use?",
        (
            Choice(
                "Nothing, until you have seen which tokens it reads.",
                "On the bench this score came out with a class in the prompt and with none. Take"
                " the answers away and measure again.",
                right=True,
            ),
            Choice(
                "They are good: validation texts were never trained on.",
                "New texts are no help where each of them carries its own answer.",
            ),
            Choice(
                "They are bad: 100 % is too good.",
                "It is a reason to look, no more. A clean head may be that good on an easy task.",
            ),
        ),
    ),
    Question(
        "8.q5",
        "In this notebook's items two trials stand before the question. A reader knows the rule and"
        " both counts but ignores the question, and both counts are uniform over 0 to 10. How often"
        " is that reader right at best?",
        (
            Choice("1/3 of the time", "That is a guess without any reading."),
            Choice(
                "about 2/3 of the time",
                "Both labels agree in 41 of 121 cases; otherwise one of two is right. In all"
                " (41 + 40) / 121, which is 0.669. A score below it proves no reading of the"
                " question.",
                right=True,
            ),
            Choice("1/2 of the time", "That is so only where the two trials differ."),
        ),
        number=0.669,
    ),
    Question(
        "8.q6",
        "Which of these claims can the small model of this notebook support?",
        (
            Choice(
                "ECI makes LlamaCare reach 57.6 % on PubMedQA.",
                "That takes the benchmark, a base of 13 billion parameters, and a run without ECI.",
            ),
            Choice(
                "A head that reads prompt tokens always says one of its labels, whatever the model"
                " would have written.",
                "This follows from how the head is built. One run can show it, none can refute it.",
                right=True,
            ),
            Choice(
                "Three steps make language models reason better.",
                "Here three steps are a sentence copied and a rule filled in, by a model of a"
                " million numbers. That is no reasoning in words.",
            ),
            Choice(
                "Labels from a head are safe enough for patients.",
                "No patient and no clinician took part. Such a claim needs a clinical study.",
            ),
        ),
    ),
)
