"""What a message must name, apart from its wording: which host, file, number or option, and the remedy.

    says(self, sender.stderr, 'hostb:16520', 'refused')
"""


def says(test, text, *parts):
    """Fails the test unless each part is in the text."""
    missing = [part for part in parts if part not in text]
    test.assertEqual(missing, [], f'missing in: {text}')
