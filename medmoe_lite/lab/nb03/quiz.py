"""Quiz of notebook 03. Numbers are computed in tests/test_quiz03.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "3.q1",
        "A softmax over all experts, the k largest kept and renormalised. Is that the same as a"
        " softmax over the k largest logits alone?",
        (
            Choice(
                "Yes, always.",
                "The sum over all experts stands in every weight and falls out when you divide by"
                " the sum of those kept. MING-MOE writes it one way, MedCare the other.",
                right=True,
            ),
            Choice(
                "Only without the renormalisation.",
                "Without it the weights sum to less than one; the softmax over k sums to one.",
            ),
            Choice("Only for k = 1.", "For k = 1 both give 1. For other k they agree as well."),
            Choice(
                "No, the closed experts still take their share.",
                "They do before the renormalisation. Dividing by the kept sum takes it back.",
            ),
        ),
    ),
    Question(
        "3.q2",
        "A layer with d_in = 2048 and d_out = 5504 has 8 experts of rank 16, 2 of them open, and a"
        " router with a bias. How many adapter numbers work for one token?",
        (
            Choice("241,664", "That is two experts without their router: 2 · 16 · (2048 + 5504)."),
            Choice(
                "258,056",
                "2 · 16 · (2048 + 5504) = 241,664 of two experts, and 8 · 2048 + 8 = 16,392 of the"
                " router, which works for every token.",
                right=True,
            ),
            Choice("245,762", "The router does not shrink to 2 / 8: it looks at all experts."),
            Choice("983,048", "That is everything; six of eight experts are closed for a token."),
        ),
        number=258_056,
    ),
    Question(
        "3.q3",
        "Your model is trained with token routing. Which label must a new question carry, so that"
        " the right experts open?",
        (
            Choice("Its task family.", "Routing by task needs that. Routing by token does not."),
            Choice("The number of the expert.", "The router works it out."),
            Choice(
                "None.",
                "The router reads the hidden state of each token and nothing else.",
                right=True,
            ),
        ),
    ),
    Question(
        "3.q4",
        "With k = 1 the one weight is renormalised. What does the language-model loss teach the"
        " router?",
        (
            Choice(
                "Nothing.",
                "p / p is 1 whatever the router says, so no gradient reaches it. The package"
                " uses p itself for k = 1, as the Switch Transformer does.",
                right=True,
            ),
            Choice("To open the best expert.", "It would need a gradient for that."),
            Choice(
                "To use all experts equally.",
                "Nothing pushes it there; that takes a loss of its own (notebook 04).",
            ),
        ),
    ),
    Question(
        "3.q5",
        "How does a mixture of experts differ from a dense layer with as many numbers?",
        (
            Choice(
                "Each token uses a part of the numbers, chosen by what it is.",
                "Capacity grows with the experts, work a token with the open ones. The price: a"
                " router to train, and no single weight to merge into the base.",
                right=True,
            ),
            Choice(
                "It always answers better.",
                "The recorded runs above show whether it did here. Nothing in the formula says so.",
            ),
            Choice(
                "It needs less memory.",
                "All experts have to be there, since every token may choose others.",
            ),
        ),
    ),
    Question(
        "3.q6",
        "Which of these claims can the small model of this notebook support?",
        (
            Choice(
                "MING-MOE answers medical exams better than GPT-4.",
                "No exam was taken here, and nothing here is of that size.",
            ),
            Choice(
                "Experts stand for medical specialties.",
                "We measured which families use which experts. That is a correlation, much of it"
                " with words, and no one checked what an expert knows.",
            ),
            Choice(
                "Nobody has to tell a token router the task, and its expert use can still differ"
                " between tasks.",
                "One model in which it happens is enough to show that it can. How strong it is on"
                " another model has to be measured there.",
                right=True,
            ),
            Choice(
                "Token routing beats plain LoRA on patients' questions.",
                "No patient asked anything. Such a claim needs a clinical study.",
            ),
        ),
    ),
)
