"""The page that is alive, in a real browser and from its file: answers, drawing, pictures, what is inside."""

import base64
import dataclasses
import io
import json
import os
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import convarium
from browsers import browser as browser  # the fixture
from browsers import needs_browser
from convarium import Workspace
from convarium.cli import main
from convarium.errors import ConvariumError
from convarium.inference.loading import load_trained
from convarium.inference.playground.encoding import rounded
from convarium.inference.playground.gallery import IMAGES, QUIZ, SPLIT, frame_of, pick_images
from convarium.inference.playground.page import write_playground
from convarium.inference.playground.players import MOST_PARAMETERS
from convarium.inference.playground.program import read_program
from convarium.inference.playground.reference import run_logits
from convarium.inference.playground.words import LANGUAGES, disguise, filled, title_of, words_of
from convarium.runs.store import Store
from convarium.studies.compare import compare_study

MODELS = ("lenet", "resnet(depth=8)")


@pytest.fixture
def page(browser, written):
    """The page with its first answers; afterwards nothing may have been complained about or asked for."""
    complaints, requests = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(written.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    yield page
    context.close()
    assert not complaints
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [written.path.as_uri()]


def answers(page):
    """What each card says: the vote first, then the networks."""
    return [text.split()[0] for text in page.locator(".network .said").all_inner_texts()]


def draw(page, points):
    box = page.locator("#pad").bounding_box()
    (x, y), *others = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in points]
    page.mouse.move(x, y)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def inside(page):
    """Scrolls to the networks' inside, which is computed when it is seen."""
    page.locator("#inside").scroll_into_view_if_needed()
    page.wait_for_selector(".walk .stage")


def answered_anew(page, before):
    page.wait_for_selector(f"body[data-answered]:not([data-answered='{before}'])")


@needs_browser
def test_the_answer_is_the_largest_probability_and_bars_have_a_table(page):
    card = page.locator(".network", has_text="lenet").first
    rows = [row.split() for row in card.locator("table.bars tr").all_inner_texts()]
    assert len(rows) == 10
    best = max(rows, key=lambda row: float(row[1]))
    assert card.locator(".said").inner_text().split()[0] == best[0]
    assert sum(float(row[1]) for row in rows) == pytest.approx(100, abs=2)


@needs_browser
def test_drawing_asks_every_network_and_undo_takes_it_back(page):
    page.click("#tab-draw")
    before = page.get_attribute("body", "data-answered")
    draw(page, [(0.5, 0.1), (0.5, 0.9)])
    answered_anew(page, before)
    first = answers(page)
    assert len(first) == 3
    assert page.locator("#steps li").count() == 4  # as drawn, centered, 28 × 28, normalized
    page.click("#undo")
    page.locator("#agreement", has_text="Draw something").wait_for()
    assert answers(page) == ["–"] * 3


@needs_browser
def test_in_gray_stands_what_was_said_before_the_last_stroke_however_long_it_is(page):
    def widths(kind):
        page.evaluate("new Promise((resume) => requestAnimationFrame(() => requestAnimationFrame(resume)))")
        page.wait_for_selector("body[data-answered]")
        return page.evaluate(
            "(kind) => [...document.querySelectorAll(`.network .track ${kind}`)].map((e) => e.style.width)", kind
        )

    page.click("#tab-draw")
    draw(page, [(0.5, 0.1), (0.5, 0.9)])
    first = widths("b")
    draw(page, [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)])
    assert widths("i") == first
    assert widths("b") != first


@needs_browser
def test_a_drawing_in_a_corner_is_centered_and_scaled(page):
    page.click("#tab-draw")

    def extent():
        pixels = np.array(page.evaluate("Array.from(Drawing.read().pixels)")).reshape(28, 28)
        rows, columns = np.nonzero(pixels > 100)
        return rows.min(), rows.max(), columns.min(), columns.max()

    draw(page, [(0.05, 0.05), (0.25, 0.05), (0.25, 0.25)])
    top, bottom, left, right = extent()
    box = page.evaluate("Play.frame.box")
    assert max(bottom - top, right - left) + 1 == pytest.approx(box, abs=2)
    assert (left + right) / 2 == pytest.approx(13.5, abs=1)
    page.click("#center")
    top, bottom, left, right = extent()
    assert bottom < 14
    assert right < 14


@needs_browser
def test_the_pad_can_be_used_by_keyboard(page):
    page.click("#tab-draw")
    before = page.get_attribute("body", "data-answered")
    page.focus("#pad")
    for key in [" ", *["ArrowDown"] * 6]:
        page.keyboard.press(key)
    answered_anew(page, before)
    assert page.evaluate("Drawing.read().pixels.some((value) => value > 200)")


@needs_browser
def test_a_picture_is_read_and_a_broken_one_gives_one_sentence(page):
    file = io.BytesIO()
    Image.new("RGB", (90, 50), (10, 200, 30)).save(file, "PNG")
    before = page.get_attribute("body", "data-answered")
    page.click("#tab-file")
    page.set_input_files("#file", {"name": "green.png", "mimeType": "image/png", "buffer": file.getvalue()})
    answered_anew(page, before)
    gray = Image.new("RGB", (1, 1), (10, 200, 30)).convert("L").getpixel((0, 0))
    shown = page.evaluate(
        "Array.from(document.querySelectorAll('#steps canvas')[2].getContext('2d').getImageData(9, 9, 1, 1).data)"
    )
    assert shown[0] == gray
    page.set_input_files("#file", {"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"})
    page.locator("#file-trouble", has_text="broken.png is not an image that this browser can read.").wait_for()


@needs_browser
def test_a_file_that_is_dragged_onto_the_page_is_read(page, tmp_path):
    """As the browser is told of a file from another program, over a place that is no field for files."""
    file = tmp_path / "green.png"
    Image.new("RGB", (90, 50), (10, 200, 30)).save(file)
    before = page.get_attribute("body", "data-answered")
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 300, "data": data})
        if kind == "dragOver":
            assert page.locator("#drop.over").count() == 1
    answered_anew(page, before)
    assert page.get_attribute("#tab-file", "aria-selected") == "true"
    assert page.locator("#steps li").first.inner_text() == "as opened"
    assert not page.locator("#drop.over").count()


@needs_browser
def test_an_image_is_pasted_by_the_keyboard(page):
    """From the browser's own clipboard, into which the test copies it."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    before = page.get_attribute("body", "data-answered")
    page.evaluate("document.getElementById('pad').focus()")
    page.evaluate(
        """async () => {
          const canvas = Pictures.canvas(30, 20);
          canvas.getContext("2d").fillRect(5, 5, 10, 10);
          const blob = await new Promise((resume) => canvas.toBlob(resume));
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }"""
    )
    page.keyboard.press("Control+V")
    answered_anew(page, before)
    assert page.locator("#steps li").first.inner_text() == "as opened"
    before = page.get_attribute("body", "data-answered")
    page.evaluate("navigator.clipboard.writeText('no image')")
    page.keyboard.press("Control+V")
    assert page.get_attribute("body", "data-answered") == before


@needs_browser
def test_dropped_images_of_64_megapixels_are_read_and_larger_ones_give_one_sentence(page):
    """A PNG of one color and one bit a pixel is small whatever its size."""

    def drop(side):
        file = io.BytesIO()
        Image.new("1", (side, side), 1).save(file, "PNG")
        page.evaluate(
            """([name, data]) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([Interpreter.bytesOf(data)], name, { type: "image/png" }));
              document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
            }""",
            ["white.png", base64.b64encode(file.getvalue()).decode()],
        )

    before = page.get_attribute("body", "data-answered")
    drop(10_000)
    trouble = page.locator("#file-trouble")
    trouble.wait_for()
    assert trouble.inner_text() == "This image has 100 megapixels; the page reads images of up to 64."
    assert page.get_attribute("body", "data-answered") == before
    drop(8_000)
    answered_anew(page, before)
    assert not trouble.is_visible()


def test_what_a_killed_command_left_goes_and_a_page_is_replaced_whole_or_not_at_all(store, tmp_path, monkeypatch):
    left, page = tmp_path / ".play.html.1.tmp", tmp_path / "play.html"
    left.write_text("half")
    os.utime(left, (0, 0))
    page.write_text("an older page")
    with monkeypatch.context() as patch:
        patch.setattr("convarium.disk.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Workspace(store).play("both", out=page)
    assert page.read_text() == "an older page"
    assert [file.name for file in tmp_path.iterdir()] == ["play.html"]
    Workspace(store).play("both", out=page)
    assert page.read_text().endswith("</html>")


def test_a_place_that_cannot_be_written_to_gives_one_sentence(store, tmp_path, capsys):
    (tmp_path / "file").touch()
    command = ["play", "both", "--store", str(store)]
    assert main([*command, "--out", str(tmp_path / "file" / "play.html")]) == 1
    assert "a file is in the way" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err


@needs_browser
def test_a_stage_opens_and_a_pixel_says_where_it_comes_from(page):
    page.locator(".network", has_text="resnet(depth=8)").locator("button").click()
    page.locator(".walk h3", has_text="resnet(depth=8)").wait_for()
    page.locator(".stage", has_text="conv").first.click()
    page.locator(".detail .operation .wide canvas").last.hover()
    text = page.locator(".sum p").inner_text()
    value = text.split("= ")[1].split(":")[0]
    assert value[0].isdigit() or value[0] == "−"
    before = page.locator(".walk .stage").last.inner_html()
    page.locator("text=all blocks").click()
    page.locator("text=put all back").wait_for()
    assert page.locator(".walk .stage").last.inner_html() != before


@needs_browser
def test_weights_of_epochs_answer_as_they_did_then(page, store):
    run = next(run for run in Workspace(store).results("both").rows[1].runs if run.recipe.seed == 1)
    assert run.kept_epochs == (0, 1, 2)
    received, pixels = page.evaluate(
        """async () => {
          const network = Play.networks[1], pixels = Playground.galleryPixels(3), found = [];
          const input = Preprocess.normalized(pixels, Play.forms[network.form]);
          for (const { epoch, member } of network.epochs[1]) {
            found.push([epoch, Play.labelOf(member, true), Array.from(await Engine.logits(member, input))]);
          }
          return [found, Array.from(pixels)];
        }"""
    )
    images = torch.tensor(pixels, dtype=torch.uint8).reshape(1, 1, 28, 28)
    trained = load_trained(run)
    for (epoch, label, logits), expected_epoch in zip(received, run.kept_epochs, strict=True):
        assert (epoch, label.split(", seed 1, ")[1]) == (
            expected_epoch,
            f"epoch {epoch}" if epoch else "before training",
        )
        trained.network.load_state_dict(run.epoch_weights(epoch))
        program = rounded(read_program(trained.network, (1, 28, 28), model="resnet"))
        expected = run_logits(program, trained.normalize(images))[0].detach()
        assert torch.tensor(logits) == pytest.approx(expected, abs=1e-4 * float(expected.abs().max()))


@needs_browser
def test_a_slider_shows_how_a_network_learned(page):
    """By keyboard; its filters and the stages are those of the epoch, and the vote is that of the seeds alone."""
    inside(page)
    panel = page.locator("#training-first")
    pictures = lambda: page.evaluate(  # noqa: E731
        "[...document.querySelectorAll('#training-first .kernels canvas')].map((one) => one.toDataURL())"
    )
    assert panel.locator("output").inner_text() == "after epoch 2 of 2"
    assert panel.locator(".epochs button").count() == 3
    page.wait_for_selector("#training-first .epochs button[aria-label^='before training: says ']")
    trained = pictures()
    panel.locator("input").press("ArrowLeft")
    page.wait_for_selector("#walks h3:text('epoch 1')")
    assert panel.locator("output").inner_text() == "after epoch 1 of 2"
    assert panel.locator(".epochs [aria-pressed=true] small").inner_text() == "1"
    assert panel.locator("input").get_attribute("aria-valuetext").startswith("after epoch 1 of 2, says ")
    assert pictures() != trained
    panel.get_by_role("button", name="Play").click()
    page.wait_for_selector("#walks h3:text('epoch 2')")
    vote = page.locator(".network.vote .seeds").inner_text()
    assert " of 4 say " in vote
    assert vote.endswith(" · bars: the mean, ticks: each")  # most may say another class than the mean does


@needs_browser
def test_without_an_image_nothing_is_said(page):
    inside(page)
    page.wait_for_selector("#training-first .epochs button[aria-label^='before training: says ']")
    page.evaluate("Playground.show(null)")
    assert page.locator("#training-first .epochs .answer").all_inner_texts() == ["–"] * 3
    assert not page.locator(".walk").count()


@needs_browser
def test_two_epochs_beside_each_other_are_opened_and_pointed_at_together(page):
    inside(page)
    page.select_option("#inside-second", page.input_value("#inside-first"))
    page.wait_for_selector(".walk + .walk .stage")
    assert page.locator("#walks h3").nth(1).inner_text().endswith("before training")
    first, second = (page.locator(".walk").nth(i) for i in range(2))
    first.locator("button.stage", has_text="conv").first.click()
    assert (
        second.locator("button[aria-expanded=true]").inner_text() == first.locator("[aria-expanded=true]").inner_text()
    )
    canvas = page.locator(".detail").nth(1).locator(".operation canvas[tabindex]").first
    canvas.focus()
    canvas.press("ArrowUp")
    sums = page.locator(".detail .sum p").all_inner_texts()
    assert len(sums) == page.locator(".detail .mark").count() == 2
    places = [text.split(" = ")[0] for text in sums]
    assert places[0] == places[1]
    assert "pixel (13, 14)" in places[0]
    assert sums[0] != sums[1]  # other weights
    first.locator("[aria-expanded=true]").click()
    assert not page.locator(".detail:visible").count()


@needs_browser
def test_another_network_beside_it_opens_what_has_the_same_shape(page):
    inside(page)
    page.select_option("#inside-second", label="resnet(depth=8), seed 1")
    page.wait_for_selector(".walk + .walk .stage")
    page.locator(".walk").nth(1).locator("button.stage").first.click()
    assert page.locator(".walk [aria-expanded=true] strong").all_inner_texts() == ["normalized image"] * 2
    page.locator(".walk").nth(0).locator("button.stage", has_text="linear").first.click()
    assert page.locator(".walk [aria-expanded=true]").count() == 1  # a resnet has no such layer


def test_epochs_that_were_not_kept_cannot_be_shown(store, monkeypatch):
    monkeypatch.setattr("convarium.runs.stored_run.StoredRun.kept_epochs", ())
    with pytest.raises(
        ConvariumError, match=r"no run of this study kept its weights by epoch; .*--keep-weights every=N"
    ):
        Workspace(store).play("both", epochs=True)


@needs_browser
def test_three_ways_to_ask_why(page):
    page.locator("#why").scroll_into_view_if_needed()
    page.locator(".reason h3", has_text="Occlusion").wait_for()
    assert page.locator(".reason h3").all_inner_texts() == ["Saliency", "Grad-CAM", "Occlusion"]
    chosen = page.locator("#why-stage option:checked")
    assert chosen.inner_text() == "3 · 16 × 10 × 10"
    page.select_option("#why-stage", index=0)
    page.click("#why-class")
    assert chosen.inner_text() == "0 · 6 × 28 × 28"
    page.select_option("#inside-first", label="resnet(depth=8), seed 0")  # whose own deepest one it is then
    page.wait_for_function(
        "document.querySelector('#why-stage').selectedOptions[0].text.startsWith('blocks.2.residual.')"
    )


@needs_browser
@pytest.mark.parametrize("side", [1, 2, 5, 12])
def test_the_squares_of_occlusion_cover_every_pixel_and_are_no_larger_than_asked(page, side):
    squares = page.evaluate("(side) => Why.squares(28, 24, side)", side)
    covered = np.zeros((28, 24), int)
    for top, bottom, left, right in squares:
        assert 0 < bottom - top <= side
        assert 0 < right - left <= side
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1
    inner = covered[side:-side, side:-side] if side < 12 else covered[12:13, 12:13]
    assert inner.max() <= 9


@needs_browser
def test_occlusion_is_that_of_explain_and_says_its_color(page, store):
    run = next(run for run in Workspace(store).results("both").rows[1].runs if run.recipe.seed == 1)
    trained = load_trained(run)
    program = rounded(read_program(trained.network, (1, 28, 28), model="resnet"))
    received, pixels = page.evaluate(
        """async () => {
          const pixels = Playground.galleryPixels(3), one = Play.networks[1].members[1];
          const input = Preprocess.normalized(pixels, Play.forms[Play.formOf(one)]);
          return [Array.from(await Why.occlusion(one, input, 4, 7, [], () => false)), Array.from(pixels)];
        }"""
    )
    image = trained.normalize(torch.tensor(pixels, dtype=torch.uint8).reshape(1, 1, 28, 28))[0]

    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return run_logits(program, images)

    expected = convarium.explain(Read(), image, method="occlusion", target=4, square=7).heat.ravel()
    assert np.array(received) == pytest.approx(expected, abs=1e-5)
    page.locator("#why").scroll_into_view_if_needed()
    page.wait_for_selector(".reason:nth-child(3)")
    level = round(255 * trained.preprocessing.mean[0])
    assert f"a square of the mean color (level {level} of 255)" in page.locator(".reason").nth(2).inner_text()


@needs_browser
def test_the_quiz_asks_and_counts(page):
    """The page does not begin with an image of the quiz: its answer would stand there."""
    asked = page.evaluate("Play.quiz")
    pressed = page.locator("#gallery button").evaluate_all("all => all.findIndex((one) => one.ariaPressed === 'true')")
    assert pressed not in asked
    page.set_viewport_size({"width": 360, "height": 740})
    place = "getComputedStyle(document.querySelector('.verdict')).position"
    assert page.evaluate(place) == "fixed"
    page.click("#quiz-stage button")
    assert page.evaluate(place) == "static"  # at the foot it would seem to answer the image of the quiz
    page.locator("#quiz-stage .choices button").first.click()
    page.locator("#quiz-stage li").first.wait_for()
    assert page.locator("#quiz-stage li").count() == len(MODELS)


@needs_browser
def test_the_quiz_can_be_played_once_more_and_counts_anew(page):
    page.click("#quiz-stage button")
    for _ in range(2):
        for number in range(1, len(page.evaluate("Play.quiz")) + 1):
            assert page.locator("#quiz-status").inner_text().startswith(f"Image {number} of ")
            page.locator("#quiz-stage .choices button").first.click()
            page.get_by_role("button", name="Next image").or_(page.get_by_role("button", name="Result")).click()
        scores = page.locator("#quiz-stage li").all_inner_texts()
        assert scores[0].endswith(f" of {number}")
        page.get_by_role("button", name="Once more").click()


@needs_browser
def test_every_control_has_a_name(page):
    """What has no text has a label."""
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas[tabindex]")].filter((control) =>
          !control.textContent.trim() && !control.getAttribute("aria-label") && !control.labels?.length)
          .map((control) => control.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


@needs_browser
@pytest.mark.parametrize("width", [360, 1024, 1600])
def test_nothing_is_wider_than_the_screen(browser, written, width):
    page = browser.new_page(viewport={"width": width, "height": 740})
    page.goto(written.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@needs_browser
def test_on_a_telephone_nothing_is_wider_where_names_are_long(browser, written, tmp_path):
    file, long = tmp_path / "long.html", "a_class_whose_name_goes_on_and_on_without_any_space_until_it_ends"
    text = written.path.read_text("utf-8")
    begin, _, rest = text.partition('"classes":["0",')
    before, _, end = rest.partition('"label":"lenet"')
    assert end
    file.write_text(f'{begin}"classes":["{long}",{before}"label":"{long}"{end}', "utf-8")
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-answered]")
    page.click("#quiz-stage button")
    inside(page)
    page.locator("#why").scroll_into_view_if_needed()
    page.wait_for_selector(".reason:nth-child(3)")
    page.locator("footer summary").click()
    wide = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > 360
          && !one.closest(".stages, .scroll, .epochs")).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


@needs_browser
def test_hidden_names_are_shown_on_request(browser, store, tmp_path):
    done = Workspace(store).play("both", hide_names=True, title="Guess <b>", language="zh", out=tmp_path / "guess.html")
    page = browser.new_page()
    page.goto(done.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    assert page.locator("h1").inner_text() == "Guess <b>"
    assert page.locator(".network h3").all_inner_texts() == ["全体投票", "网络 A", "网络 B"]
    page.click("#reveal")
    assert page.locator(".network h3").all_inner_texts() == ["全体投票", *MODELS]
    assert page.locator("footer tbody th").all_text_contents() == [*MODELS]
    buttons = page.locator(".network footer button").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert buttons == [f"看看内部: {model}" for model in MODELS]
    assert page.locator("h1").inner_text() == page.title() == "Guess <b>"
    fonts = page.evaluate("getComputedStyle(document.querySelector('#answers button')).fontFamily")
    assert fonts.index("PingFang SC") < fonts.index("Noto Sans CJK SC") < fonts.index("Arial")
    page.close()


@pytest.fixture(scope="module")
def disguised(browser, store, tmp_path_factory):
    """A page with hidden names, written when there was one color for all networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convarium.pages.chart_style.COLORS", ("#0072B2",))
        patch.setattr("convarium.pages.chart_style.DARK_COLORS", ("#0072B2",))
        done = Workspace(store).play("both", hide_names=True, out=tmp_path_factory.mktemp("guess") / "play.html")
    page = browser.new_page()
    page.goto(done.path.as_uri())
    page.wait_for_selector("body[data-answered]")
    yield page
    page.close()


@needs_browser
def test_with_the_names_the_title_shows_them_too(disguised):
    page = disguised
    hidden = page.locator("body").inner_text() + page.title()
    assert "Play with Network A and Network B" in hidden
    assert not [model for model in MODELS if model in hidden]
    page.click("#reveal")
    page.wait_for_selector(".network h3:text('lenet')")
    shown = page.locator("body").inner_text() + page.title()
    assert page.locator("h1").inner_text() == page.title() == "Play with lenet and resnet(depth=8)"
    assert "Network A" not in shown
    page.click("#reveal")
    assert page.title() == "Play with Network A and Network B"


@needs_browser
def test_a_network_is_painted_as_no_other_is_where_colors_repeat(disguised):
    for part in (".swatch", ".track b"):
        cards = disguised.locator("article.network:not(.vote)").all()
        painted = [card.locator(part).first.evaluate("(e) => getComputedStyle(e).background") for card in cards]
        assert len(set(painted)) == len(MODELS)
        assert all("rgb(0, 114, 178)" in paint for paint in painted)
    many = [{"color": "#0072B2", "round": n} for n in range(5)]
    assert len(set(disguised.evaluate("(many) => many.map(Play.paintOf)", many))) == 5


@needs_browser
def test_one_of_several_says(page):
    said = page.evaluate("[1, 2].map((n) => fill(Play.words.seeds_say, { n, of: 3, name: '9' }))")
    assert said == ["1 of 3 says 9", "2 of 3 say 9"]
    assert page.evaluate("fill(Play.words.values, { n: 1 })") == "1 value"


@needs_browser
def test_what_the_networks_are_given_is_what_the_open_tab_shows(page):
    def turn(tab):
        before = page.locator("body").get_attribute("data-answered")
        page.click(tab)
        page.wait_for_selector(f"body[data-answered]:not([data-answered='{before}'])")
        return page.locator("#agreement").inner_text()

    shown = page.locator("#agreement").inner_text()
    page.click("#tab-draw")
    assert page.locator("#agreement").inner_text() == "Draw something, or choose an image."
    draw(page, [(0.5, 0.1), (0.5, 0.9)])
    page.click("#tab-file")
    assert page.locator("#agreement").inner_text() == "Draw something, or choose an image."
    assert turn("#tab-gallery") == shown
    assert "It is" not in turn("#tab-draw")


def test_the_command_says_what_it_wrote(store, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(store)
    assert main(["play", "both", "--out", str(tmp_path / "a.html"), "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert "reading the networks of both …" in said.err
    assert told["networks"] == [[model, 1] for model in MODELS]
    assert told["bytes"] == (tmp_path / "a.html").stat().st_size
    assert main(["play", "both", "--lang", "de"]) == 2
    assert "unknown language 'de'; choose one of en, zh" in capsys.readouterr().err
    assert main(["play", "both", "--seeds", "0"]) == 2
    assert "seeds that play" in capsys.readouterr().err


def test_runs_that_are_not_there_are_told(store, tmp_path):
    """As a network of which none is there yet is not on the page."""
    shutil.copytree(store, tmp_path / "store")
    stopped = Workspace(tmp_path / "store")
    shutil.rmtree(next((tmp_path / "store" / "runs").iterdir()))
    assert stopped.play("both").left_out == (
        "3 of the 4 planned runs are finished. A network without a run does not play.",
    )


def test_without_the_data_set_there_is_no_quiz(store, monkeypatch):
    monkeypatch.setattr("convarium.studies.report.scored_images", lambda *_: None)
    assert Workspace(store).play("both").networks == tuple((model, 1) for model in MODELS)
    with pytest.raises(ConvariumError, match="--quiz takes test images"):
        Workspace(store).play("both", quiz=True)


def test_a_page_does_not_say_where_ones_own_images_lie(store, tmp_path):
    comparison = compare_study(Store(store).study("both"), Store(store), drawn=True)
    own = dataclasses.replace(comparison, dataset="folder:/home/ann/birds")
    text = write_playground(own, tmp_path / "play.html", test_images=None).path.read_text("utf-8")
    assert "birds" in text
    assert "/home" not in text


def test_large_networks_are_left_out_unless_all_play(store, monkeypatch):
    monkeypatch.setattr("convarium.inference.playground.players.MOST_PARAMETERS", 70_000)
    done = Workspace(store).play("both")
    assert [label for label, _ in done.networks] == ["lenet"]
    assert "resnet(depth=8) does not play: it has" in done.left_out[0]
    assert len(Workspace(store).play("both", all_networks=True).networks) == 2
    assert "resnet(depth=8) 未能加入：它有" in Workspace(store).play("both", language="zh").path.read_text("utf-8")
    assert MOST_PARAMETERS == 1_500_000


def test_images_that_split_the_networks_come_first():
    labels = np.arange(200) % 10
    first, second = labels.copy(), labels.copy()
    second[[7, 30]] = (second[[7, 30]] + 1) % 10
    chosen, split = pick_images([first, second], labels)
    assert (set(chosen[:2]), split) == ({7, 30}, 2)
    assert len(chosen) == len(set(chosen)) == IMAGES
    assert QUIZ <= SPLIT <= IMAGES


def test_the_frame_of_centered_squares_is_measured():
    images = np.zeros((50, 1, 28, 28), np.uint8)
    images[:, :, 4:24, 12:15] = 255  # lines of 20 pixels that are 3 wide
    frame = frame_of(images)
    assert frame.box == 20
    assert frame.is_dark
    assert frame.is_centered
    assert frame.brush == pytest.approx(3, abs=0.75)
    assert not frame_of(255 - images).is_dark
    assert not frame_of(np.roll(images, 4, axis=3)).is_centered
    assert frame_of(np.zeros((5, 3, 28, 28), np.uint8)).box is None


def test_what_cannot_be_done_is_not_announced(store, capsys):
    assert main(["play", "none", "--store", str(store)]) == 2
    assert "reading" not in capsys.readouterr().err
    assert main(["export", "none", "--store", str(store)]) == 2
    assert "exporting" not in capsys.readouterr().err


def forms(text):
    return [text] if isinstance(text, str) else list(text.values())


def blanks(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_every_text_with_the_same_blanks():
    english = words_of("en")
    for language in LANGUAGES:
        words = words_of(language)
        assert words.keys() == english.keys()
        assert words["operations"].keys() == english["operations"].keys()
        assert words["left_out"].keys() == english["left_out"].keys()
        texts = [(words[name], english[name]) for name in english.keys() - {"operations", "left_out"}]
        texts += [(words["left_out"][reason], text) for reason, text in english["left_out"].items()]
        for translated, text in texts:
            assert all(blanks(form) == blanks(forms(text)[0]) for form in forms(translated)), text


def test_chinese_has_the_punctuation_of_chinese_print():
    words = words_of("zh")
    texts = [text for name, text in words.items() if name not in ("operations", "left_out")]
    texts += [*words["operations"].values(), *words["left_out"].values()]
    assert [text for text in texts if set(",;:!?()") & set(text.replace("F(x)", ""))] == []
    assert title_of(words, ["lenet"]) == "与 lenet 互动"
    assert title_of(words, ["lenet", "nin"]) == "与 lenet 和 nin 互动"
    assert title_of(words, [disguise(words, n) for n in range(5)]) == "与网络 A、网络 B、网络 C 和另外 2 个互动"


def test_a_text_has_the_form_that_goes_with_its_number():
    words = words_of("en")
    assert filled(words["seeds_say"], n=1, of=3, name="9") == "1 of 3 says 9"
    assert filled(words["seeds_say"], n=2, of=3, name="9") == "2 of 3 say 9"
    assert title_of(words, ["a"]) == "Play with a"
    assert title_of(words, list("abcde")) == "Play with a, b, c and 2 more"
    assert [disguise(words, n) for n in (0, 25, 26)] == ["Network A", "Network Z", "Network A1"]
