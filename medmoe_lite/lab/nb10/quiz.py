"""Quiz of notebook 10. Numbers are computed in tests/test_lab10.py."""

from medmoe_lite.lab.quiz import Choice, Question

GAPS = (0.02, 0.05, 0.08)  # of question 1
EFFECTS = 40  # of question 2

QUIZ = (
    Question(
        "10.q1",
        "Three seeds, gaps 0.02, 0.05 and 0.08. How far does the 95 % interval reach to each side"
        " of their mean?",
        (
            Choice("0.034", "That is 1.96 · s / sqrt(n). With three seeds the factor is 4.30."),
            Choice(
                "0.075",
                "s = 0.03, t = 4.30 for two degrees of freedom: 4.30 · 0.03 / sqrt(3). The"
                " interval holds zero although every gap is above it.",
                right=True,
            ),
            Choice("0.129", "That is t · s without sqrt(n): where a single next gap may fall."),
            Choice("0.030", "That is the spread of the gaps, not the error of their mean."),
        ),
        number=0.075,
    ),
    Question(
        "10.q2",
        "A report has 40 effects with 95 % intervals. Suppose none of them is real. How many"
        " intervals miss zero by chance, on average?",
        (
            Choice("none", "Each misses in one of 20 studies. There are 40 of them."),
            Choice(
                "2",
                "40 · 0.05. Bonferroni's remedy is to ask each at 1 - 0.05 / 40: then it is 0.05"
                " in all.",
                right=True,
            ),
            Choice("5", "The 5 of 5 % is a share, not a count: 40 · 0.05."),
            Choice("38", "That many hold zero, as they should. The others miss."),
        ),
        number=2.0,
    ),
    Question(
        "10.q3",
        "A card expects more by 0.05. The gap comes out as +0.06, interval -0.02 to +0.14. What"
        " may be written?",
        (
            Choice("There is an effect of 0.06.", "The interval holds zero: it may be none."),
            Choice("There is no effect.", "The interval holds +0.14 as well: it may be large."),
            Choice(
                "Not visible here; more seeds would be needed.",
                "Both zero and an effect that counts fit these runs. A null is not a no.",
                right=True,
            ),
            Choice("Contradicted.", "For that the interval would have to lie below zero."),
        ),
    ),
    Question(
        "10.q4",
        "After the runs you see that another margin would give a better verdict. What do you do?",
        (
            Choice(
                "Report the verdict of the card; put the new idea on a new card, with new seeds.",
                "The old runs suggested the idea, so they cannot test it.",
                right=True,
            ),
            Choice(
                "Change the card: the runs are the same.",
                "Then the rule was picked by its result, and some rule always fits.",
            ),
            Choice(
                "Report both verdicts and let the reader choose.",
                "The second one was chosen"
                " after the fact. It may be told as an idea, not as a verdict.",
            ),
        ),
    ),
    Question(
        "10.q5",
        "Of 15 specialties one has the lowest score; it has three conditions. What is known?",
        (
            Choice(
                "The model is unfair to it.",
                "Some slice is always the lowest, and a small one is so most easily.",
            ),
            Choice(
                "Nothing can ever be said of slices.",
                "With enough conditions, and chance's share beside it, it can.",
            ),
            Choice(
                "Little: compare with slices dealt at random, and collect more of that slice.",
                "The gap has to be larger than what chance gives the lowest of 15.",
                right=True,
            ),
        ),
    ),
    Question(
        "10.q6",
        "Which of these claims can a model of a million numbers support?",
        (
            Choice(
                "It is safe to use in a clinic.",
                "No score on stored facts says that. It takes"
                " a study with clinicians, and approval.",
            ),
            Choice(
                "A 13B model would do the same.",
                "Scale changes results; MedCare's own table shows it. It has to be run.",
            ),
            Choice(
                "On these tasks, with these seeds, the mechanism has this effect.",
                "That, with its interval. It can also refute 'always'.",
                right=True,
            ),
            Choice("The published score is right.", "It never saw that exam."),
        ),
    ),
)
