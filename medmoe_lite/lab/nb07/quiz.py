"""Quiz of notebook 07. Numbers are computed in tests/test_lab07.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "7.q1",
        "The first adapter is frozen. Can stage 2 still change the answer to a fact?",
        (
            Choice("No: frozen weights cannot forget.", "Weights are kept, answers are not."),
            Choice(
                "Yes: the second adapter adds to the same layers.",
                "The output is W x plus both updates. Wherever A_a x is not zero, the sum moves.",
                right=True,
            ),
            Choice(
                "Only if a fact occurs in the training data of stage 2.",
                "The second adapter adds something to every input that it reads.",
            ),
        ),
    ),
    Question(
        "7.q2",
        "A layer with d_in = 2048. Both adapters have rank 32, their rows are random and of length"
        " 1. What is the mean squared cosine between a row of one and a row of the other?",
        (
            Choice("1 / 2048, about 0.0005", "The mean of cos² of random directions in d"
                   " dimensions is 1 / d: two random rows are nearly orthogonal already.",
                   right=True),
            Choice("32 / 2048, about 0.016", "That is the share of a row that lies in a space of"
                   " 32 dimensions. Between two single rows it is 1 / d."),
            Choice("1 / 32, about 0.031", "The number of rows does not enter a mean over pairs."),
            Choice("0.5", "That holds in two dimensions only."),
        ),
        number=1 / 2048,
    ),
    Question(
        "7.q3",
        "The l1 penalty is driven to zero. Which of these is certain?",
        (
            Choice(
                "The facts are kept.",
                "A fact is kept where A_a x is zero for its inputs x. The penalty does not know"
                " any x.",
            ),
            Choice(
                "The two adapters read no direction in common.",
                "Every row of one is at right angles to every row of the other. That is all it"
                " says.",
                right=True,
            ),
            Choice(
                "The format was learnt more slowly.",
                "It may be, if lambda is large. The sum alone does not say.",
            ),
        ),
    ),
    Question(
        "7.q4",
        "You project the gradient of A off Q and let Adam make the step. Does A stay off Q?",
        (
            Choice(
                "Yes: the gradient has no part in Q, so the step has none.",
                "That holds for plain gradient steps. Adam divides each entry by a number of its"
                " own, and the step leaves the subspace.",
            ),
            Choice(
                "No: project A itself after the step.",
                "That is exact whatever the optimiser does. The package does it so.",
                right=True,
            ),
            Choice("Only if Q has a single column.", "One direction is enough to show it."),
        ),
    ),
    Question(
        "7.q5",
        "Facts get worse in stage 2. You raise lambda from 0.001 to 0.01, and nothing changes but"
        " the overlap, which falls. What do you try next?",
        (
            Choice(
                "lambda = 0.1",
                "The overlap shows that the penalty works. More of it will not reach what it does"
                " not aim at.",
            ),
            Choice(
                "Something that knows the inputs of the facts: projection, or replay.",
                "Both act on those inputs. Watch the format as well: protection has a price.",
                right=True,
            ),
            Choice(
                "A larger rank for the second adapter.",
                "More rows read more directions, those of the facts among them.",
            ),
        ),
    ),
    Question(
        "7.q6",
        "Which of these claims can the small model of this notebook support?",
        (
            Choice(
                "MedCare forgets less on medical exams because of its penalty.",
                "No exam was taken here. The paper gives no number with and without the penalty.",
            ),
            Choice(
                "Orthogonal rows of A do not by themselves keep what was learnt.",
                "One counterexample is enough, and the cell with A_K A_aᵀ = 0 is one at any scale.",
                right=True,
            ),
            Choice(
                "Penalties on A are useless for large models.",
                "That was measured on one small model, with a few weights and ranks. Other widths,"
                " tasks and data may differ.",
            ),
            Choice(
                "Projected adapters are safe for patients.",
                "Nothing here says anything about patients.",
            ),
        ),
    ),
)  # fmt: skip
