"""Quiz of notebook 00. Numbers are computed in tests/test_quiz00.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "0.q1",
        "An adapter was trained, then closed with disable_adapter(). What does the model answer?",
        (
            Choice(
                "Something between base and adapter.",
                "There is no between: a closed adapter adds nothing at all.",
            ),
            Choice(
                "What the base answered, up to rounding.",
                "Not even rounding differs: the same operations run on the same weights.",
            ),
            Choice(
                "What the base answered, bit for bit.",
                "The base was frozen. With the gate at zero only W x is computed.",
                right=True,
            ),
        ),
    ),
    Question(
        "0.q2",
        "LoRA of rank 16 sits on all seven linear layers of each of the 24 blocks of Qwen1.5-1.8B"
        " (four of 2048 × 2048, three of 2048 × 5504). How many numbers learn?",
        (
            Choice("14,991,360", "24 · 16 · (4 · 4096 + 3 · 7552), 0.8 % of all.", right=True),
            Choice("624,640", "That is one block. There are 24."),
            Choice("239,861,760", "The rank is counted twice."),
            Choice("1,836,828,672", "That is the whole model."),
        ),
        number=14_991_360,
    ),
    Question(
        "0.q3",
        "How many bits does one weight take in nf4 with blocks of 64 and double quantisation?",
        (
            Choice("4", "The codes alone. A block also stores how large its weights are."),
            Choice("4.5", "That is nf4 with 32-bit scales. Double quantisation stores them in 8."),
            Choice("4.127", "4 + 8/64 + 32/(64 · 256).", right=True),
            Choice("12", "The 8 bits of a scale are shared by 64 weights."),
        ),
        number=4.127,
    ),
    Question(
        "0.q4",
        "Full fine-tuning with Adam in 32 bits takes 16 bytes a weight. Which part is the largest?",
        (
            Choice("The weights.", "They take 4 bytes, as many as the gradients."),
            Choice("The gradients.", "They take 4 bytes, as many as the weights."),
            Choice(
                "The two moments of Adam.",
                "A mean and a mean square of the gradient: 8 bytes."
                " LoRA keeps them for the adapter only.",
                right=True,
            ),
            Choice("The activations.", "They come on top, and depend on batch and length."),
        ),
    ),
    Question(
        "0.q5",
        "The base was asked about a drug that does not exist, and it named a disease. Why?",
        (
            Choice(
                "It found the drug in its training data.",
                "The name was made up for this course and kept out of the corpus.",
            ),
            Choice(
                "It always continues with a likely answer, known or not.",
                "Nothing in the"
                " training rewards silence here. A fluent answer is no sign of knowledge.",
                right=True,
            ),
            Choice("The adapter was still open.", "No adapter was attached at that point."),
        ),
    ),
    Question(
        "0.q6",
        "Which of these claims can the small model of this course test?",
        (
            Choice(
                "A closed adapter gives the base back exactly.",
                "This holds at any size and can be checked bit for bit.",
                right=True,
            ),
            Choice(
                "MING-MOE passes a pharmacist exam.",
                "That needs the real model and the exam. Nano knows neither.",
            ),
            Choice(
                "The answers are safe for patients.",
                "Nothing here can test that. It is teaching data and no medical advice.",
            ),
        ),
    ),
)
