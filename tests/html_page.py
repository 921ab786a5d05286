"""A page as a parser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that every tag is closed in order, and gathers what tests ask for."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.classes, self.tags, self.text, self.references = [], [], [], [], [], []
        self.feed(path.read_text())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.classes.append((tag, (attributes.get("class") or "").split()))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.references += [value for name, value in attributes.items() if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def marked(self, tag, name):
        return sum(one == tag and name in classes for one, classes in self.classes)

    def count(self, tag):
        return sum(one == tag for one, _ in self.tags)
