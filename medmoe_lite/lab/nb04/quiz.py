"""Quiz of notebook 04. Numbers are computed in tests/test_lab04.py."""

from medmoe_lite.lab.quiz import Choice, Question

QUIZ = (
    Question(
        "4.q1",
        "Eight experts, two open. Every token opens experts 0 and 1, each with probability one"
        " half. What is the balance loss e · Σ load · P?",
        (
            Choice("1", "That is the even value: all shares 1/8, all mean probabilities 1/8."),
            Choice("2", "Load and P are one half for both: 8 · (1/4 + 1/4) is more than that."),
            Choice(
                "4",
                "8 · (1/2 · 1/2 + 1/2 · 1/2) = 4, which is e / k: the worst that two open experts"
                " can do.",
                right=True,
            ),
            Choice("8", "That is for one open expert, which then has load 1 and P 1."),
        ),
        number=4,
    ),
    Question(
        "4.q2",
        "A router's load is 12.5 percent for each of eight experts. Is it healthy?",
        (
            Choice("Yes, even is healthy.", "Dice are even. They tell no token from another."),
            Choice(
                "It cannot be said from the load alone.",
                "Information says whether different tokens go different ways, and whether the"
                " routers moved says if they learn at all.",
                right=True,
            ),
            Choice(
                "No, two experts should stand out.",
                "Two stand out for each token. Over many tokens all should get their share.",
            ),
        ),
    ),
    Question(
        "4.q3",
        "Through which part does the balance loss move a router?",
        (
            Choice(
                "Through the counted load.",
                "A count is a step function: its gradient is zero nearly everywhere.",
            ),
            Choice(
                "Through the mean probabilities.",
                "The load says which experts are too busy; the gradient lowers the probability of"
                " those.",
                right=True,
            ),
            Choice(
                "Through the experts' answers.",
                "The experts do not appear in it. That is the loss on the answers.",
            ),
        ),
    ),
    Question(
        "4.q4",
        "A sentence opens expert 3 for every token, always with weight 0.05. What do count and"
        " weight say of expert 3?",
        (
            Choice(
                "Much work, small contribution.",
                "It is computed for every token, so it costs as much as any open expert, and"
                " changes the output by a twentieth of its answer.",
                right=True,
            ),
            Choice("It is dead.", "Dead means rarely chosen. This one is chosen by every token."),
            Choice(
                "Count and weight agree.",
                "They would if all open experts had the same weight.",
            ),
        ),
    ),
    Question(
        "4.q5",
        "All rank columns are multiplied at once and closed ones set to zero. What happens to the"
        " time when K goes from 1 to 3?",
        (
            Choice("It triples.", "It would if closed experts were skipped and nothing else ran."),
            Choice(
                "It hardly changes.",
                "K decides which columns are kept, not how many are multiplied. Kernels that skip"
                " closed experts behave otherwise.",
                right=True,
            ),
            Choice("It falls.", "Nothing is saved by opening more."),
        ),
    ),
    Question(
        "4.q6",
        "Which of these claims can the runs of this notebook support?",
        (
            Choice(
                "Eight experts with two open are best for medical language models.",
                "That needs models of the published size, their data, and several seeds of each.",
            ),
            Choice(
                "Large mixtures always collapse without a balance loss.",
                "Our collapse was pushed by a head start. One such run cannot say always.",
            ),
            Choice(
                "A router can collapse while the loss on the answers looks ordinary.",
                "One run in which it happens shows that it can. How often it happens elsewhere has"
                " to be measured there.",
                right=True,
            ),
            Choice(
                "An even router gives safer advice to patients.",
                "No patient was involved, and load says nothing about advice.",
            ),
        ),
    ),
)
