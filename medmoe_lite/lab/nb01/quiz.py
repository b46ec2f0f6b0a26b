"""Quiz of notebook 01. Numbers are computed in tests/test_lab_quiz.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "1.q1",
        "What is the main advantage of LoRA over full fine-tuning of a large model?",
        (
            Choice("It always reaches a lower training loss.", "Full fine-tuning contains LoRA as"
                   " a special case; on the training loss it can only be as good or better."),
            Choice("Gradients and optimiser states are kept for a few percent of the weights.",
                   "The frozen weights need neither. That is most of the memory of training, and"
                   " each task is stored as a small file.", right=True),
            Choice("The model answers faster while the adapter is attached.", "It is a little"
                   " slower until it is merged, then exactly as fast as before."),
            Choice("The base forgets nothing.", "Its weights stay, but the sum of base and adapter"
                   " can answer old questions worse. Close the adapter and they are back."),
        ),
    ),
    Question(
        "1.q2",
        "A layer maps 2048 numbers to 5504, as the feed-forward part of Qwen1.5-1.8B does. How"
        " many numbers learn in LoRA of rank 16?",
        (
            Choice("120,832", "16 · (2048 + 5504): A has 16 rows of 2048, B has 5504 rows of 16."
                   " That is 1.1 % of the layer's 11.3 million.", right=True),
            Choice("11,272,192", "That is 2048 · 5504, the whole layer."),
            Choice("32,768", "That is A alone. B has 5504 · 16 more."),
            Choice("180,355,072", "That is the product of all three. The sizes of A and B add up."),
        ),
        number=120_832,
    ),
    Question(
        "1.q3",
        "Why does B start at zero, and A not?",
        (
            Choice("To save memory at the start.", "Zeros take as much memory as other numbers."),
            Choice("The output starts as the base's, and B still gets a gradient through A.",
                   "With both zero, no gradient reaches either. With neither zero, the model is"
                   " disturbed before it has learned anything.", right=True),
            Choice("A is frozen.", "Both learn. A begins to move after the first step, when B has"
                   " left zero."),
        ),
    ),
    Question(
        "1.q4",
        "You double r and leave alpha as it is. What happens to the factor in front of B A?",
        (
            Choice("It doubles.", "The factor is alpha / r."),
            Choice("It stays.", "Only if alpha is doubled too, as alpha = 2 r does."),
            Choice("It halves.", "alpha / r, with r twice as large. A comparison of ranks has to"
                   " say what it did with alpha.", right=True),
        ),
    ),
    Question(
        "1.q5",
        "Which picture would show that the update of full fine-tuning is of low rank?",
        (
            Choice("A loss curve that falls quickly.", "Speed says nothing about rank."),
            Choice("Singular values of the update that fall steeply after the first few.",
                   "Then a few directions hold most of it, and cutting the rest changes little."
                   " This is the property that LoRA builds on.", right=True),
            Choice("Singular values of LoRA's own update that stop after r.", "They must stop"
                   " there: B A has rank r at most, whatever the task needs."),
        ),
    ),
    Question(
        "1.q6",
        "Which of these claims can the experiments of this notebook support?",
        (
            Choice("Rank 16 is enough for medical exams.", "Nothing here is an exam, and the model"
                   " has about a million weights."),
            Choice("LoRA is as safe in the clinic as full fine-tuning.", "No experiment on a"
                   " laptop can say that."),
            Choice("On this model, this task and these seeds, rank r answered so many questions in"
                   " new wordings.", "A small model can show how the method behaves and refute a"
                   " claim that says 'always'. It cannot stand in for the large one.", right=True),
        ),
    ),
)  # fmt: skip
