"""What counts as the same words, whether the listener writes them or their figures."""

import pytest

from tools.phrasebook import judge


@pytest.mark.parametrize(
    ("heard", "wanted", "language"),
    [
        ("It's $12.", "It's twelve dollars.", "eng"),
        ("The pizza costs €3.50!", "The pizza costs three euros and fifty cents.", "eng"),
        ("It is 1,500 metres.", "It is one thousand five hundred metres.", "eng"),
        ("I was born in 1990.", "I was born in nineteen ninety.", "eng"),
        ("At 9:00 o'clock, or at 8:30", "At nine o'clock or at half past eight.", "eng"),
        ("Cuesta 5 €.", "Cuesta cinco euros.", "spa"),
        ("Cuesta 21,20 €.", "Cuesta veintiún euros con veinte céntimos.", "spa"),
        ("Nací en 1971, a las 8:30.", "Nací en mil novecientos setenta y uno a las ocho y media.", "spa"),
        ("Il coûte 80£.", "Il coûte quatre-vingts livres sterling.", "fra"),
        (
            "À 8h, non à 8h30 ou 8 h 10.",
            "À huit heures, non à huit heures et demie ou huit heures dix.",
            "fra",
        ),
        ("Il est 14h20.", "Il est quatorze heures vingt.", "fra"),
        ("Je suis né en 1980.", "Je suis né en mille neuf cent quatre-vingt.", "fra"),
        ("Um 8.30 Uhr oder 9:00 Uhr", "Um halb neun oder neun Uhr", "deu"),
        (
            "Er kostet 14,95 €, nicht 100 €.",
            "Er kostet vierzehn Euro fünfundneunzig, nicht hundert Euro.",
            "deu",
        ),
        ("1990 geboren", "neunzehnhundertneunzig geboren", "deu"),
        ("Am 22. Oktober, nicht der 3. März", "Am zweiundzwanzigsten Oktober, nicht der dritte März", "deu"),
        (
            "Mein 16-jähriger Sohn, 4000 m, 5 km",
            "Mein sechzehnjähriger Sohn, viertausend Meter, fünf Kilometer",
            "deu",
        ),
        ("Die Straße ist groß", "Die Strasse ist gross", "deu"),
        ("À 4 000 mètres, 21 km", "À quatre mille mètres, vingt et un kilomètres", "fra"),
        ("La soeur", "La sœur", "fra"),
        ("5 km del centro", "cinco kilómetros del centro", "spa"),
        ("The 22nd of May, the 3rd, the 11th", "The twenty-second of May, the third, the eleventh", "eng"),
        ("500 meters from the theater", "five hundred metres from the theatre", "eng"),
        ("¿Cómo está? Son 21.", "como esta son veintiuno", "spa"),
        ("Zimmer 007, 12345", "Zimmer null null sieben eins zwei drei vier fünf", "deu"),
    ],
)
def test_figures_are_what_was_said(heard: str, wanted: str, language: str) -> None:
    assert judge.comparable(heard, language) == judge.comparable(wanted, language)
    assert judge.word_error_rate([wanted], [heard], language) == 0


def test_a_wrong_price_is_an_error() -> None:
    assert judge.word_error_rate(["It's twelve dollars."], ["It's €12."], "eng") == pytest.approx(1 / 3)
    assert judge.word_error_rate(["It's twelve dollars."], ["It's 12."], "eng") == pytest.approx(1 / 3)
    assert judge.word_error_rate(["der zweite Mai"], ["der 3. Mai"], "deu") == pytest.approx(1 / 3)
    assert judge.word_error_rate(["vingt-deux octobre"], ["20 de octobre"], "fra") == pytest.approx(1 / 3)


def test_word_error_rate_counts_edits() -> None:
    assert judge.word_error_rate(["one two three four"], ["one too four five"], "eng") == pytest.approx(3 / 4)


def test_windows_hold_as_much_as_one_listening() -> None:
    assert judge.windows([160_000, 160_000, 160_000, 16_000]) == [[0, 1], [2, 3]]
